// Quick picks of hosts and interpreters, and the way to a first remote.
import { basename } from 'node:path'
import * as vscode from 'vscode'

import type { Healths } from './health'
import type { Interpreter } from './protocol'
import type { Server } from './server'

/** Packages that a row of the interpreters' list names. */
const PACKAGES = 4

export class Pickers {
  constructor(
    private readonly server: Server,
    private readonly healths: Healths,
  ) {}

  async host(): Promise<void> {
    const project = this.healths.place
    const found = await this.server.ask('sidecar/hosts', { project })
    if (!found) return
    const items: (vscode.QuickPickItem & { name?: string })[] = found.hosts.map((one) => ({
      label: `${one.inUse ? '$(check) ' : ''}${one.name}`,
      description: `${one.ssh}:${one.path}`,
      detail: one.roundTripMs > 0 ? `${one.text} (${Math.round(one.roundTripMs)} ms)` : one.text,
      name: one.name,
    }))
    items.push({ label: '$(add) Add a host…' })
    const title = `Where saves and runs of ${basename(found.project)} go`
    const picked = await vscode.window.showQuickPick(items, { title, matchOnDescription: true })
    if (!picked) return
    if (!picked.name) return this.init()
    await this.server.ask('sidecar/selectHost', { project, host: picked.name, connect: true })
  }

  async interpreter(place = this.healths.place, host = ''): Promise<void> {
    const looking = { location: vscode.ProgressLocation.Notification, title: 'Looking for Pythons', cancellable: true }
    const found = await vscode.window.withProgress(looking, (_, token) =>
      this.server.ask('sidecar/interpreters', { project: place, host }, token),
    )
    if (!found) return
    const items: (vscode.QuickPickItem & { name?: string })[] = found.interpreters.map((one) => ({
      label: `${one.inUse ? '$(check) ' : ''}${one.name}`,
      description: one.problem || `Python ${one.version}${one.cuda ? `, CUDA ${one.cuda}` : ''}`,
      detail: detailOf(one),
      name: one.name,
    }))
    items.push({ label: '$(edit) Another path…' })
    const title = `The Python on ${found.host}`
    const picked = await vscode.window.showQuickPick(items, { title, placeHolder: found.problem, matchOnDetail: true })
    if (!picked) return
    const prompt = `A path on ${found.host}, or conda:NAME`
    const name = picked.name ?? (await vscode.window.showInputBox({ title, prompt }))
    if (!name) return
    const set = await this.server.ask('sidecar/selectInterpreter', { project: place, host, name })
    if (set) vscode.window.setStatusBarMessage(`$(check) ${set.host}: ${set.python} (Python ${set.version})`, 8000)
  }

  /** Host, folder, interpreter, done: what `sidecar init` does in a terminal. */
  async init(): Promise<void> {
    const folder = await this.folder()
    if (!folder) return
    const ssh = await this.sshHost()
    if (!ssh) return
    const proposed = await this.server.ask('sidecar/init', { project: folder, ssh, dryRun: true })
    if (!proposed) return
    const path = await vscode.window.showInputBox({
      title: `The folder on ${ssh}`,
      value: proposed.path,
      prompt: 'It is made where it is missing. What is there is never overwritten without a question.',
      ignoreFocusOut: true,
    })
    if (!path) return
    const made = await this.server.ask('sidecar/init', { project: folder, ssh, path })
    if (!made) return
    const place = { project: made.project, host: made.host }
    await this.server.ask('sidecar/selectHost', { ...place, connect: false })
    await this.meet(place)
  }

  /** What first contact would do, and the interpreter. */
  private async meet(place: { project: string; host: string }): Promise<void> {
    const looking = { location: vscode.ProgressLocation.Notification, title: `Looking at ${place.host}`, cancellable: true }
    const found = await vscode.window.withProgress(looking, (_, token) =>
      this.server.ask('sidecar/sync', { ...place, dryRun: true }, token),
    )
    if (!found) return
    await this.interpreter(place.project, place.host)
    const sync = 'Sync Now'
    const text = found.summary || `${place.host} and this folder agree.`
    const answer = await vscode.window.showInformationMessage(text, sync)
    if (answer === sync) await vscode.commands.executeCommand('sidecar.syncNow', place)
  }

  private async folder(): Promise<string | undefined> {
    const folders = vscode.workspace.workspaceFolders ?? []
    const active = vscode.window.activeTextEditor?.document.uri
    const own = active && vscode.workspace.getWorkspaceFolder(active)
    if (own ?? folders.length === 1) return (own ?? folders[0])?.uri.fsPath
    if (folders.length === 0) {
      await vscode.window.showWarningMessage('Open the folder of your project first.')
      return undefined
    }
    return (await vscode.window.showWorkspaceFolderPick())?.uri.fsPath
  }

  private async sshHost(): Promise<string | undefined> {
    const known = await this.server.ask('sidecar/sshHosts', {})
    if (!known) return undefined
    const other = '$(edit) Another one…'
    const title = 'The machine that this project is to run on'
    const picked =
      known.hosts.length === 0
        ? other
        : await vscode.window.showQuickPick([...known.hosts, other], { title, placeHolder: 'Hosts of ~/.ssh/config' })
    if (picked !== other) return picked
    const prompt = 'What you would type after `ssh`: a name, or me@host, or ssh://me@host:2222'
    return await vscode.window.showInputBox({ title, prompt, ignoreFocusOut: true })
  }
}

function detailOf(one: Interpreter): string {
  const packages = Object.entries(one.packages).slice(0, PACKAGES)
  const lacks = one.lacks.length > 0 ? `lacks ${one.lacks.join(', ')}` : ''
  return [one.path, ...packages.map(([name, version]) => `${name} ${version}`), lacks].filter((part) => part).join(' · ')
}
