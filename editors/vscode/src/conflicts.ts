// What both sides have differently, and the ways out: a view, a diff editor with theirs on the left, and
// buttons in both.
import { basename, join } from 'node:path'
import * as vscode from 'vscode'

import type { Healths } from './health'
import type { Health, PathNote, ResolveParams, Version } from './protocol'
import type { Server } from './server'

export interface Noted {
  project: string
  host: string
  note: PathNote
}

export class Conflicts implements vscode.TreeDataProvider<Noted>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>()
  private readonly view: vscode.TreeView<Noted>
  private readonly parts: vscode.Disposable[]
  private noted: Noted[] = []
  private asking = false
  private again = false

  readonly onDidChangeTreeData = this.changed.event

  constructor(
    private readonly server: Server,
    private readonly healths: Healths,
  ) {
    this.view = vscode.window.createTreeView('sidecar.conflicts', { treeDataProvider: this })
    this.parts = [this.changed, this.view, healths.onDidChange((health) => this.heard(health))]
  }

  getChildren(parent?: Noted): Noted[] {
    return parent ? [] : this.noted
  }

  getTreeItem({ project, host, note }: Noted): vscode.TreeItem {
    const item = new vscode.TreeItem(note.path)
    item.resourceUri = vscode.Uri.file(join(project, note.path))
    item.description = note.text
    item.tooltip = [`${note.path} (${host})`, note.text, `here: ${side(note.here)}`, `there: ${side(note.there)}`].join('\n')
    item.contextValue = isToDecide(note) ? 'note.decide' : 'note'
    if (isToDecide(note)) {
      item.command = { title: 'Compare', command: 'sidecar.openDifference', arguments: [{ project, host, note }] }
      item.iconPath = new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'))
    }
    return item
  }

  /** Looks at both sides now. */
  async look(): Promise<void> {
    const project = this.healths.place
    await vscode.window.withProgress({ location: { viewId: 'sidecar.conflicts' } }, async () => {
      await this.server.ask('sidecar/conflicts', { project })
    })
    await this.refresh()
  }

  /** Theirs on the left, mine, which can be edited, on the right. */
  async open(target: Noted | vscode.Uri): Promise<void> {
    const path = pathOf(target)
    const host = 'note' in target ? target.host : ''
    const result = await vscode.window.withProgress({ location: vscode.ProgressLocation.Window }, () =>
      this.server.ask('sidecar/diff', { path, project: path, host }),
    )
    if (!result) return
    if (result.why || !result.file || result.here.kind !== 'file') {
      const text = result.why || (result.text ? '' : 'both sides are the same')
      if (result.patch) await vscode.window.showTextDocument(vscode.Uri.file(result.patch))
      else await vscode.window.showInformationMessage(`${basename(path)}: ${text}`)
      return
    }
    const title = `${basename(path)} (${host || this.hostOf(path)} ↔ here)`
    await vscode.commands.executeCommand('vscode.diff', vscode.Uri.file(result.file), vscode.Uri.file(path), title)
  }

  async keep(keep: ResolveParams['keep'], target: Noted | vscode.Uri): Promise<void> {
    const path = pathOf(target)
    const host = 'note' in target ? target.host : this.hostOf(path)
    const result = await this.server.ask('sidecar/resolve', { keep, paths: [path], project: path, host })
    if (!result) return
    const said = [...result.done, ...result.left].map((note) => `${note.path}: ${note.text}`).join('; ')
    if (result.left.length > 0) await vscode.window.showWarningMessage(said)
    else vscode.window.setStatusBarMessage(`$(check) ${said}`, 8000)
  }

  async bringBack(): Promise<void> {
    const project = this.healths.place
    const found = await this.server.ask('sidecar/trash', { project, limit: 200 })
    if (!found) return
    const items = found.copies.map((copy) => ({
      label: copy.path,
      description: copy.side === 'local' ? 'here' : 'on the remote',
      detail: `${new Date(copy.when).toLocaleString()}, ${copy.why}`,
      copy,
    }))
    const title = 'Bring Back What a Sync Replaced'
    const placeHolder = found.unreachable || (items.length > 0 ? '' : 'Nothing was overwritten or removed')
    const picked = await vscode.window.showQuickPick(items, { title, placeHolder, matchOnDetail: true })
    if (!picked) return
    const result = await this.server.ask('sidecar/undo', { project, ids: [picked.copy.id] })
    if (result) vscode.window.setStatusBarMessage(`$(check) ${picked.copy.path} is back`, 8000)
  }

  async why(target: vscode.Uri): Promise<void> {
    const result = await this.server.ask('sidecar/why', { path: target.fsPath, project: target.fsPath })
    if (!result) return
    const rule = result.rule ? `, by ${result.rule} (${result.source})` : ''
    const verdict = result.synced ? 'is synced' : 'is not synced'
    await vscode.window.showInformationMessage(`${result.path} ${verdict}${rule}. Next sync: ${result.next}`)
  }

  dispose(): void {
    for (const part of this.parts) part.dispose()
  }

  private hostOf(path: string): string {
    const noted = this.noted.find((one) => join(one.project, one.note.path) === path)
    const project = this.healths.projectOf(vscode.Uri.file(path))
    return noted?.host ?? (project ? this.healths.of(project)[0]?.host : undefined) ?? ''
  }

  private heard(health: Health): void {
    if (health.state !== 'syncing' && health.state !== 'connecting') void this.refresh()
  }

  /** Takes over what the sidecar knows; dials nothing. One at a time: states come in bursts. */
  private async refresh(): Promise<void> {
    this.again = true
    if (this.asking) return
    this.asking = true
    while (this.again) {
      this.again = false
      this.noted = (await Promise.all(this.healths.projects.map((project) => this.of(project)))).flat()
    }
    this.asking = false
    const paths = this.noted.filter(({ note }) => isToDecide(note)).map((one) => join(one.project, one.note.path))
    await vscode.commands.executeCommand('setContext', 'sidecar.conflicts', paths)
    this.view.badge = paths.length > 0 ? { value: paths.length, tooltip: `${paths.length} to decide` } : undefined
    this.changed.fire()
  }

  private async of(project: string): Promise<Noted[]> {
    const hosts = this.healths.of(project).map((one) => one.host)
    const found = hosts.map(async (host) => {
      const status = await this.server.request('sidecar/status', { project, host }).catch(() => undefined)
      return (status?.notes ?? []).map((note) => ({ project, host, note }))
    })
    return (await Promise.all(found)).flat()
  }
}

/** The sidecar tells what both sides have where a person has to decide. */
function isToDecide(note: PathNote): boolean {
  return note.here !== null && note.there !== null
}

function side(version: Version | null): string {
  if (!version || version.kind === 'nothing') return 'nothing'
  const by = version.by ? ` by ${version.by}` : ''
  return version.changed ? `changed ${new Date(version.changed).toLocaleString()}${by}` : version.kind
}

function pathOf(target: Noted | vscode.Uri): string {
  return 'note' in target ? join(target.project, target.note.path) : target.fsPath
}
