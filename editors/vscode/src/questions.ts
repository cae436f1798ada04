// What the sidecar asks: secrets, and choices. It asks only about what the person just did.
import * as vscode from 'vscode'

import type { Answered, Asked } from './protocol'

export interface Question {
  type: number
  message: string
  actions?: { title: string }[]
}

/** `MessageType.Warning`: the person has to decide, and what they did waits. Others may be withdrawn
 * while they stand, and a modal dialogue cannot. */
const WARNING = 2

/** A password, a passphrase, or a one-time code: kept nowhere. Null where it was dismissed. */
export function ask(question: Asked, token: vscode.CancellationToken): Promise<Answered> {
  const input = vscode.window.createInputBox()
  input.title = question.host
  // A problem stands where the prompt does.
  input.prompt = input.placeholder = question.prompt.trim()
  input.password = !question.echo
  input.ignoreFocusOut = true
  if (question.problem) input.validationMessage = question.problem
  return new Promise((resolve) => {
    let value: string | null = null
    input.onDidChangeValue(() => (input.validationMessage = undefined))
    input.onDidAccept(() => {
      value = input.value
      input.hide()
    })
    const cancelled = token.onCancellationRequested(() => input.hide())
    input.onDidHide(() => {
      cancelled.dispose()
      input.dispose()
      resolve({ value })
    })
    input.show()
  })
}

/** A choice. The last option is the safe one, which stands where the question is dismissed. */
export async function choose(question: Question, token: vscode.CancellationToken): Promise<{ title: string } | null> {
  const options = question.actions ?? []
  const [message, ...detail] = question.message.split('\n')
  if (question.type === WARNING) {
    const items = options.map(({ title }, at) => ({ title, isCloseAffordance: at === options.length - 1 }))
    const modal = { modal: true, detail: detail.join('\n') }
    const answer = await vscode.window.showWarningMessage(message ?? '', modal, ...items)
    return answer ? { title: answer.title } : null
  }
  const withdrawn = new Promise<null>((resolve) => token.onCancellationRequested(() => resolve(null)))
  const shown = vscode.window.showInformationMessage(question.message, ...options)
  return (await Promise.race([shown, withdrawn])) ?? null
}
