// The state of each project on each host, as the sidecar tells it, and the status bar.
import { dirname } from 'node:path'
import * as vscode from 'vscode'

import { titleOf } from './failures'
import { innermost } from './projects'
import type { Health } from './protocol'
import type { Server } from './server'

const ICONS: Record<Health['state'], string> = {
  idle: 'circle-outline',
  connecting: 'sync~spin',
  ready: 'check',
  syncing: 'arrow-up',
  question: 'question',
  disconnected: 'debug-disconnect',
}

export class Healths implements vscode.Disposable {
  private readonly known = new Map<string, Health>()
  private readonly changed = new vscode.EventEmitter<Health>()
  private readonly item = vscode.window.createStatusBarItem('sidecar', vscode.StatusBarAlignment.Left, 50)
  private readonly parts: vscode.Disposable[]

  /** The state of a project on a host is another one, or told for the first time. */
  readonly onDidChange = this.changed.event

  constructor(private readonly server: Server) {
    this.item.name = 'Sidecar'
    this.item.command = 'sidecar.menu'
    this.parts = [
      this.item,
      this.changed,
      server.on('sidecar/didChangeStatus', (health) => this.take(health)),
      server.onDidChange((running) => {
        if (running !== 'running') this.known.clear()
        this.show()
      }),
      vscode.window.onDidChangeActiveTextEditor(() => this.show()),
    ]
  }

  /** The root of the project that is looked at: that of the editor in front, else the only one. */
  get project(): string | undefined {
    const document = vscode.window.activeTextEditor?.document
    return (document && this.projectOf(document.uri)) ?? (this.projects.length === 1 ? this.projects[0] : undefined)
  }

  get projects(): string[] {
    return [...new Set([...this.known.values()].map((one) => one.project))]
  }

  projectOf(uri: vscode.Uri): string | undefined {
    return uri.scheme === 'file' ? innermost(uri.fsPath, this.projects) : undefined
  }

  /** What a request means that names no file: the project that is looked at, else the folder. */
  get place(): string {
    const document = vscode.window.activeTextEditor?.document
    const folders = vscode.workspace.workspaceFolders ?? []
    return (
      this.project ??
      (document?.uri.scheme === 'file' ? dirname(document.uri.fsPath) : undefined) ??
      folders[0]?.uri.fsPath ??
      ''
    )
  }

  /** Its states, the one of the host in use first. */
  of(project: string): Health[] {
    const found = [...this.known.values()].filter((one) => one.project === project)
    return found.sort((one, other) => Number(other.inUse) - Number(one.inUse))
  }

  dispose(): void {
    for (const part of this.parts) part.dispose()
  }

  private take(health: Health): void {
    // A project that could not be opened was told without a host.
    this.known.delete(`${health.project}\0`)
    this.known.set(`${health.project}\0${health.host}`, health)
    this.show()
    this.changed.fire(health)
  }

  private show(): void {
    const document = vscode.window.activeTextEditor?.document
    void vscode.commands.executeCommand('setContext', 'sidecar.active', this.known.size > 0)
    void vscode.commands.executeCommand(
      'setContext',
      'sidecar.inProject',
      document !== undefined && this.projectOf(document.uri) !== undefined,
    )
    const project = this.project
    const health = project && this.of(project)[0]
    if (this.server.running === 'failed') {
      this.item.text = '$(error) Sidecar'
      this.item.tooltip = 'The sidecar does not run.'
      this.item.backgroundColor = new vscode.ThemeColor('statusBarItem.errorBackground')
      this.item.show()
    } else if (health) {
      this.item.text = lineOf(health)
      this.item.tooltip = tooltipOf(this.of(health.project))
      const warns = health.state === 'question' || health.state === 'disconnected' || health.conflicts > 0
      this.item.backgroundColor = warns ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined
      this.item.show()
    } else {
      this.item.hide()
    }
  }
}

/** Host, state, queue, round trip: "$(check) gpu1 18 ms". */
export function lineOf(health: Health): string {
  const parts = [`$(${ICONS[health.state]}) ${health.host || 'Sidecar'}`]
  if (health.queued > 0) parts.push(`$(arrow-up)${health.queued}`)
  if (health.conflicts > 0) parts.push(`$(warning)${health.conflicts}`)
  if (health.state === 'ready' && health.roundTripMs > 0) parts.push(`${Math.round(health.roundTripMs)} ms`)
  return parts.join(' ')
}

function tooltipOf(healths: readonly Health[]): vscode.MarkdownString {
  const text = new vscode.MarkdownString()
  for (const health of healths) {
    text.appendText(`${health.host ? `${health.host}: ` : ''}${health.text}\n`)
    if (health.fix) text.appendText(`${health.fix}\n`)
    if (health.lastSync) text.appendText(`last sync: ${new Date(health.lastSync).toLocaleString()}\n`)
    text.appendText(`${health.project}\n\n`)
  }
  return text
}

interface Action extends vscode.QuickPickItem {
  command?: string
  argument?: unknown
}

/** What the status bar leads to: the state, its next step, and all that can be done. */
export async function menu(healths: Healths, server: Server): Promise<void> {
  const health = healths.project ? healths.of(healths.project)[0] : undefined
  const items: Action[] = []
  if (health) {
    const said = `${health.host ? `${health.host}: ` : ''}${health.text}`
    const place = { project: health.project, host: health.host }
    items.push({ label: said, kind: vscode.QuickPickItemKind.Separator })
    if (health.command && health.fix) {
      const label = `$(lightbulb) ${titleOf(health.command) ?? health.fix}`
      items.push({ label, detail: health.fix, command: health.command, argument: place })
    } else if (health.fix) {
      items.push({ label: `$(lightbulb) ${health.fix}` })
    }
  }
  items.push(
    { label: '$(play) Run File', command: 'sidecar.runFile' },
    { label: '$(debug-alt) Debug File', command: 'sidecar.debugFile' },
    { label: '$(sync) Sync Now', command: 'sidecar.syncNow' },
    { label: '$(remote) Select Host…', command: 'sidecar.pickHost' },
    { label: '$(symbol-misc) Select Interpreter…', command: 'sidecar.pickInterpreter' },
    { label: '$(history) Jobs', command: 'sidecar.jobs.focus' },
    { label: '$(diff) Conflicts', command: 'sidecar.conflicts.focus' },
    { label: '$(output) Show Log', command: 'sidecar.showLog' },
    { label: '$(debug-restart) Restart', command: 'sidecar.restart' },
  )
  const picked = await vscode.window.showQuickPick(items, { title: 'Sidecar', placeHolder: health?.text })
  if (!picked?.command) return
  if (picked.argument) await server.command(picked.command, picked.argument)
  else await vscode.commands.executeCommand(picked.command)
}
