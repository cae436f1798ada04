// What VS Code is offered: everything is made here, and ends with the window.
import { dirname } from 'node:path'
import * as vscode from 'vscode'

import { Conflicts, type Noted } from './conflicts'
import { Debugging } from './debug'
import { Healths, menu } from './health'
import { Jobs } from './jobs'
import { JobsView, type Listed } from './jobsView'
import { Pickers } from './pickers'
import { type Listening, Ports } from './ports'
import { find, install, message, type Place } from './program'
import { isConfigured } from './projects'
import type { DebugParams, DiffParams, ResolveParams, RunParams, SyncParams, TrustParams } from './protocol'
import { Runs } from './runs'
import { Server } from './server'

let server: Server | undefined

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel('Sidecar')
  const own = new Map<string, (argument: any) => unknown>()
  const started = new Server(log, () => finder(context), own)
  server = started
  const healths = new Healths(started)
  const jobs = new Jobs(started, context.workspaceState)
  const jobsView = new JobsView(started, healths, jobs)
  const conflicts = new Conflicts(started, healths)
  const runs = new Runs(started, healths, jobs)
  const debugging = new Debugging(started, healths, runs)
  const pickers = new Pickers(started, healths)
  const ports = new Ports(started, healths)
  context.subscriptions.push(log, healths, jobs, jobsView, conflicts, debugging, ports)

  const sync = async (params: SyncParams = {}) => {
    const { project = healths.place, ...rest } = params
    await runs.save(undefined)
    const shown = { location: vscode.ProgressLocation.Notification, title: 'Syncing', cancellable: true }
    const result = await vscode.window.withProgress(shown, (_, token) =>
      started.ask('sidecar/sync', { project, ...rest }, token),
    )
    if (!result) return
    const taken = result.taken > 0 ? `, ${result.taken} came here` : ''
    const notes = result.notes.length > 0 ? `, ${result.notes.length} to look at` : ''
    vscode.window.setStatusBarMessage(`$(check) ${result.sent} sent, ${result.removed} removed${taken}${notes}`, 8000)
  }
  const place = () => ({ project: healths.place })
  const noteOrFile = (target?: Noted | vscode.Uri) => target ?? vscode.window.activeTextEditor?.document.uri
  const listed = async (target: Listed | undefined): Promise<Listed | undefined> =>
    target ?? (await pickJob(await jobsView.getChildren()))

  // What the server's own commands are here: with terminals, a diff editor and quick picks.
  own.set('sidecar.run', (params: RunParams) => runs.run(params))
  own.set('sidecar.debug', (params: DebugParams) => debugging.start(params))
  own.set('sidecar.sync', sync)
  own.set('sidecar.diff', ({ path }: DiffParams) => conflicts.open(vscode.Uri.file(path)))
  own.set('sidecar.resolve', ({ keep, paths }: ResolveParams) => conflicts.keep(keep, vscode.Uri.file(paths?.[0] ?? '')))
  own.set('sidecar.conflicts', () => vscode.commands.executeCommand('sidecar.conflicts.focus'))
  own.set('sidecar.selectHost', () => pickers.host())
  own.set('sidecar.selectInterpreter', () => pickers.interpreter())
  own.set('sidecar.trust', (params?: TrustParams) => started.ask('sidecar/trust', { ...place(), ...params, ask: true }))
  own.set('sidecar.showStatus', sync)
  own.set('sidecar.init', () => pickers.init())

  const commands: Record<string, (...given: never[]) => unknown> = {
    'sidecar.runFile': (target?: vscode.Uri) => runs.file(target),
    'sidecar.debugFile': (target?: vscode.Uri) => {
      const uri = target ?? vscode.window.activeTextEditor?.document.uri
      return uri && debugging.start({ target: uri.fsPath, recall: true })
    },
    'sidecar.runWithArguments': (target?: vscode.Uri) => runs.withArguments(target),
    'sidecar.runSelection': () => runs.selection(),
    'sidecar.shell': () => runs.shell(),
    'sidecar.stopJob': async (target?: Listed) => {
      const current = target ? { ...target.origin, job: target.job.id } : jobs.current
      await started.ask('sidecar/signal', { ...place(), ...current, signal: 'stop' })
    },
    'sidecar.attachJob': async (target?: Listed) => {
      const found = await listed(target)
      if (found) jobs.attach({ ...found.origin, host: found.job.host }, found.job.id, found.job.command)
    },
    'sidecar.rerunJob': async (target?: Listed) => {
      const found = await listed(target)
      if (found && (await runs.save(undefined))) jobs.rerun(found.origin, found.job.id, found.job.command)
    },
    'sidecar.refreshJobs': () => jobsView.refresh(),
    'sidecar.syncNow': sync,
    'sidecar.pickHost': () => pickers.host(),
    'sidecar.pickInterpreter': () => pickers.interpreter(),
    'sidecar.setUp': () => pickers.init(),
    'sidecar.reviewTrust': async () => {
      const result = await started.ask('sidecar/trust', { ...place(), ask: true })
      if (result?.trusted) vscode.window.setStatusBarMessage('$(check) Nothing waits for trust', 8000)
    },
    'sidecar.menu': () => menu(healths, started),
    'sidecar.refreshConflicts': () => conflicts.look(),
    'sidecar.openDifference': (target?: Noted | vscode.Uri) => {
      const found = noteOrFile(target)
      return found && conflicts.open(found)
    },
    'sidecar.keepLocal': (target?: Noted | vscode.Uri) => keep('local', target),
    'sidecar.keepRemote': (target?: Noted | vscode.Uri) => keep('remote', target),
    'sidecar.keepBoth': (target?: Noted | vscode.Uri) => keep('both', target),
    'sidecar.bringBack': () => conflicts.bringBack(),
    'sidecar.whySynced': (target?: vscode.Uri) => {
      const uri = target ?? vscode.window.activeTextEditor?.document.uri
      return uri && conflicts.why(uri)
    },
    'sidecar.forwardPort': (target?: Listening) => ports.forward(target),
    'sidecar.closePort': (target?: Listening) => ports.close(target),
    'sidecar.browsePort': (target?: Listening) => ports.browse(target),
    'sidecar.restart': () => started.restart(),
    'sidecar.install': () => installed(context, started),
    'sidecar.showLog': () => log.show(),
  }
  const keep = async (which: ResolveParams['keep'], target?: Noted | vscode.Uri) => {
    const found = noteOrFile(target)
    if (found) await conflicts.keep(which, found)
  }
  for (const [name, command] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, command as (...given: unknown[]) => unknown))
  }

  const resumed = new Set<string>()
  context.subscriptions.push(
    healths.onDidChange(({ project, state }) => {
      if (state !== 'ready' || resumed.has(project)) return
      resumed.add(project)
      void jobs.resume(project)
    }),
    vscode.workspace.onDidOpenTextDocument((document) => startFor(started, document.uri)),
    vscode.workspace.onDidSaveTextDocument((document) => startFor(started, document.uri)),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration('sidecar.path')) void started.restart()
    }),
  )
  for (const folder of vscode.workspace.workspaceFolders ?? []) startFor(started, folder.uri, folder.uri.fsPath)
  for (const document of vscode.workspace.textDocuments) startFor(started, document.uri)
}

export async function deactivate(): Promise<void> {
  await server?.dispose()
}

/** Starts for what belongs to a configured project. Nobody asked for anything, so nobody is asked. */
function startFor(started: Server, uri: vscode.Uri, folder = dirname(uri.fsPath)): void {
  if (started.running !== 'off' || uri.scheme !== 'file' || !isConfigured(folder)) return
  void started.start()
}

async function pickJob(jobs: readonly Listed[]): Promise<Listed | undefined> {
  const items = jobs.map((one) => ({ label: one.job.command, description: `${one.job.state} · ${one.job.id}`, one }))
  return (await vscode.window.showQuickPick(items, { title: 'Jobs', placeHolder: 'Which one?' }))?.one
}

function placeOf(context: vscode.ExtensionContext): Place {
  return {
    setting: vscode.workspace.getConfiguration('sidecar').get<string>('path', ''),
    storage: context.globalStorageUri.fsPath,
    projects: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
    environment: process.env,
  }
}

async function finder(context: vscode.ExtensionContext): Promise<string | undefined> {
  const found = await find(placeOf(context))
  if (found.kind === 'found') return found.path
  const what =
    found.kind === 'missing'
      ? 'The sidecar is not installed on this machine.'
      : `${found.path} cannot be used: ${found.why}.`
  void offer(what)
  return undefined
}

async function offer(what: string): Promise<void> {
  const [install, setting] = ['Install It', 'Choose a Path…']
  const answer = await vscode.window.showErrorMessage(
    `${what} It can be put into a folder of this extension's own.`,
    install,
    setting,
  )
  if (answer === install) await vscode.commands.executeCommand('sidecar.install')
  if (answer === setting) await vscode.commands.executeCommand('workbench.action.openSettings', 'sidecar.path')
}

async function installed(context: vscode.ExtensionContext, started: Server): Promise<void> {
  const what = vscode.workspace.getConfiguration('sidecar').get<string>('package', 'remote-sidecar')
  const shown = { location: vscode.ProgressLocation.Notification, title: `Installing ${what}`, cancellable: true }
  try {
    await vscode.window.withProgress(shown, async (_, token) => {
      const abort = new AbortController()
      token.onCancellationRequested(() => abort.abort())
      await install(what, placeOf(context), abort.signal)
    })
  } catch (error) {
    await vscode.window.showErrorMessage(`The sidecar could not be installed. ${message(error)}`)
    return
  }
  await started.restart()
}
