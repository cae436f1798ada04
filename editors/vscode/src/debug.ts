// The debug type `sidecar`: F5 on a Python file asks the sidecar for a session, which speaks DAP on a
// port of this machine with the paths of this machine.
import * as vscode from 'vscode'

import { show } from './failures'
import type { Healths } from './health'
import { isConfigured } from './projects'
import type { DebugParams } from './protocol'
import type { Runs } from './runs'
import type { Server } from './server'

export const TYPE = 'sidecar'

interface Config extends vscode.DebugConfiguration {
  program?: string
  module?: string
  args?: string[] | string
  cwd?: string
  env?: Record<string, string>
  remote?: string
  stopOnEntry?: boolean
  justMyCode?: boolean
  stopOnRank?: string
  /** Of what is attached to, here. */
  host?: string
  port?: number
  /** As a code lens has it: with the arguments of its last run. */
  recall?: boolean
}

export class Debugging
  implements vscode.DebugConfigurationProvider, vscode.DebugAdapterDescriptorFactory, vscode.Disposable
{
  private readonly parts: vscode.Disposable[]

  constructor(
    private readonly server: Server,
    private readonly healths: Healths,
    private readonly runs: Runs,
  ) {
    const dynamic = { provideDebugConfigurations: () => [THIS_FILE] }
    this.parts = [
      vscode.debug.registerDebugConfigurationProvider(TYPE, this),
      vscode.debug.registerDebugConfigurationProvider(
        TYPE,
        dynamic,
        vscode.DebugConfigurationProviderTriggerKind.Dynamic,
      ),
      vscode.debug.registerDebugAdapterDescriptorFactory(TYPE, this),
      server.on('sidecar/debugEnded', ({ why }) => {
        if (why) void vscode.window.showWarningMessage(`Sidecar: ${why}`)
      }),
    ]
  }

  provideDebugConfigurations(): vscode.DebugConfiguration[] {
    return [THIS_FILE]
  }

  /** F5 without a launch.json comes with nothing: the open file is meant. */
  resolveDebugConfiguration(
    _folder: vscode.WorkspaceFolder | undefined,
    config: Config,
  ): vscode.ProviderResult<vscode.DebugConfiguration> {
    if (config.type || config.request || config.name) return config
    const document = vscode.window.activeTextEditor?.document
    if (document?.languageId !== 'python' || document.uri.scheme !== 'file') return undefined
    return { ...THIS_FILE, program: document.uri.fsPath, noDebug: config.noDebug }
  }

  /** With the variables filled in. */
  async resolveDebugConfigurationWithSubstitutedVariables(
    folder: vscode.WorkspaceFolder | undefined,
    config: Config,
  ): Promise<vscode.DebugConfiguration | undefined | null> {
    if (config.request !== 'launch') return config
    const target = config.module ?? config.program
    if (!target) {
      await vscode.window.showErrorMessage('This configuration names neither `program` nor `module`.')
      return undefined
    }
    const place = folder?.uri.fsPath ?? this.healths.place
    if (config.noDebug) {
      this.runs.run({ ...paramsOf(config, target, place) }, target)
      return undefined
    }
    if (!(await this.runs.save(config.program))) return undefined
    return config
  }

  async createDebugAdapterDescriptor(session: vscode.DebugSession): Promise<vscode.DebugAdapterDescriptor | undefined> {
    const config = session.configuration as Config
    if (config.port) return new vscode.DebugAdapterServer(config.port, config.host ?? '127.0.0.1')
    const target = config.module ?? config.program ?? ''
    const place = session.workspaceFolder?.uri.fsPath ?? this.healths.place
    const title = `Debugging ${target} there`
    const shown = { location: vscode.ProgressLocation.Notification, title, cancellable: true }
    try {
      const result = await vscode.window.withProgress(shown, (_, token) =>
        this.server.request('sidecar/debug', paramsOf(config, target, place), token),
      )
      if (result) return new vscode.DebugAdapterServer(result.port, '127.0.0.1')
    } catch (error) {
      void show(error)
    }
    // VS Code says an undefined descriptor in words of its own; what happened was told already.
    void vscode.debug.stopDebugging(session)
    return new vscode.DebugAdapterInlineImplementation(new Nothing())
  }

  /** From a code lens or a button. */
  async start(params: Partial<DebugParams> & { target: string }): Promise<void> {
    const uri = vscode.Uri.file(params.target.split('::')[0] ?? params.target)
    const { target, module, host, ...rest } = params
    await vscode.debug.startDebugging(vscode.workspace.getWorkspaceFolder(uri), {
      ...THIS_FILE,
      ...rest,
      ...(module ? { module: target } : { program: target }),
      ...(host ? { remote: host } : {}),
    })
  }

  dispose(): void {
    for (const part of this.parts) part.dispose()
  }
}

const THIS_FILE = { type: TYPE, request: 'launch', name: 'Sidecar: this file', program: '${file}' }

/** A session that is over before it begins. */
class Nothing implements vscode.DebugAdapter {
  private readonly sent = new vscode.EventEmitter<vscode.DebugProtocolMessage>()
  readonly onDidSendMessage = this.sent.event

  handleMessage(message: vscode.DebugProtocolMessage): void {
    const { seq, command } = message as { seq?: number; command?: string }
    this.sent.fire({ seq: 0, type: 'response', request_seq: seq, success: true, command } as never)
    if (command === 'initialize') this.sent.fire({ seq: 0, type: 'event', event: 'terminated' } as never)
  }

  dispose(): void {
    this.sent.dispose()
  }
}

function paramsOf(config: Config, target: string, place: string): DebugParams {
  const project = config.program && isConfigured(config.program) ? config.program : place
  const args = typeof config.args === 'string' ? config.args.split(/\s+/).filter((word) => word) : config.args
  return {
    project,
    host: config.remote ?? '',
    target,
    module: config.module !== undefined,
    args: args ?? [],
    cwd: config.cwd ?? '',
    env: config.env ?? {},
    stopOnEntry: config.stopOnEntry ?? false,
    justMyCode: config.justMyCode ?? true,
    stopOnRank: config.stopOnRank === undefined ? '' : String(config.stopOnRank),
    recall: config.recall ?? args === undefined,
  }
}
