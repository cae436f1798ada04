// A request that failed, in the sidecar's words, with a button for the next step where there is one.
import * as vscode from 'vscode'

import { problemOf } from './protocol'

const REQUEST_CANCELLED = -32800

/** What the buttons are called, by the command that a failure or a state names as the next step. */
const TITLES: Record<string, string> = {
  'sidecar.init': 'Set Up a Remote…',
  'sidecar.trust': 'Review Settings…',
  'sidecar.selectInterpreter': 'Select Interpreter…',
  'sidecar.selectHost': 'Select Host…',
  'sidecar.conflicts': 'Show Conflicts',
  'sidecar.sync': 'Sync Now',
  'sidecar.showStatus': 'Try Again',
}

export function titleOf(command: string): string | undefined {
  return TITLES[command]
}

export async function show(error: unknown): Promise<void> {
  if ((error as { code?: unknown } | undefined)?.code === REQUEST_CANCELLED) return
  const problem = problemOf(error)
  if (!problem) {
    await vscode.window.showErrorMessage(`Sidecar: ${error instanceof Error ? error.message : String(error)}`)
    return
  }
  const { what, why, fix, command } = problem
  const text = [why ? `${what}: ${why}` : what, fix].filter((part) => part).join('. ')
  const title = command && titleOf(command)
  const answer = await vscode.window.showErrorMessage(text, ...(title ? [title] : []))
  if (answer && command) await vscode.commands.executeCommand(command)
}
