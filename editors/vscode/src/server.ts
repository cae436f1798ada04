// The language server `sidecar serve`: started once there is a project, asked by everything else. One
// serves all folders of the window.
import * as vscode from 'vscode'
import {
  type CancellationToken,
  CloseAction,
  ErrorAction,
  type ExecuteCommandSignature,
  LanguageClient,
  type LanguageClientOptions,
  ResponseError,
  State,
} from 'vscode-languageclient/node'

import { show } from './failures'
import type { Method, Notifications, Params, Result, Told } from './protocol'
import { ask, choose, type Question } from './questions'

/** `off`: nothing to do yet. `failed`: it ended, and does not come back by itself. */
export type Running = 'off' | 'starting' | 'running' | 'failed'

/** The program's path, or undefined where there is none; then the person was told. */
export type Finder = () => Promise<string | undefined>

/** What a code lens or a code action asks for, done by this client instead of by the server. */
export type Own = ReadonlyMap<string, (argument: unknown) => unknown>

const NOTIFICATIONS = [
  'sidecar/output',
  'sidecar/exited',
  'sidecar/synced',
  'sidecar/didChangeStatus',
  'sidecar/debugEnded',
  'sidecar/forwarded',
] as const satisfies readonly (keyof Notifications)[]

/** It is started again this many times within MINUTES; then a person is asked. */
const RESTARTS = 3
const MINUTES = 3

export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined
  private starting: Promise<LanguageClient | undefined> | undefined
  private ends: number[] = []
  private readonly emitters = new Map<string, vscode.EventEmitter<unknown>>()
  private readonly changed = new vscode.EventEmitter<Running>()
  private state: Running = 'off'

  readonly onDidChange = this.changed.event

  constructor(
    private readonly log: vscode.OutputChannel,
    private readonly finder: Finder,
    private readonly own: Own,
  ) {
    for (const name of NOTIFICATIONS) this.emitters.set(name, new vscode.EventEmitter())
  }

  get running(): Running {
    return this.state
  }

  on<N extends (typeof NOTIFICATIONS)[number]>(name: N, listener: (told: Told<N>) => void): vscode.Disposable {
    return this.emitters.get(name)!.event((told) => listener(told as Told<N>))
  }

  /** The running server; starts it. Undefined where it cannot be: the person was told. */
  start(): Promise<LanguageClient | undefined> {
    if (this.client?.state === State.Running) return Promise.resolve(this.client)
    this.starting ??= this.begin().finally(() => (this.starting = undefined))
    return this.starting
  }

  async stop(): Promise<void> {
    await this.starting
    const client = this.client
    this.client = undefined
    if (client?.needsStop()) await client.stop()
    await client?.dispose()
    this.be('off')
  }

  async restart(): Promise<void> {
    await this.stop()
    this.ends = []
    await this.start()
  }

  /** One request. A failure is shown in the server's words; undefined then, and where it was
   * cancelled. */
  async ask<M extends Method>(method: M, params: Params<M>, token?: CancellationToken): Promise<Result<M> | undefined> {
    try {
      return await this.request(method, params, token)
    } catch (error) {
      await show(error)
      return undefined
    }
  }

  /** One request whose failure the caller deals with.
   *
   * @throws ResponseError, whose `data` may be a Problem.
   */
  async request<M extends Method>(
    method: M,
    params: Params<M>,
    token?: CancellationToken,
  ): Promise<Result<M> | undefined> {
    const client = await this.start()
    // An undefined token would count as a second parameter.
    return client && (await client.sendRequest<Result<M>>(method, params, ...(token ? [token] : [])))
  }

  /** A server's command with its argument, as code lenses and states name them. */
  async command(name: string, argument: unknown): Promise<void> {
    if (await this.start()) await vscode.commands.executeCommand(name, argument)
  }

  async dispose(): Promise<void> {
    await this.stop()
    for (const emitter of this.emitters.values()) emitter.dispose()
    this.changed.dispose()
  }

  private async begin(): Promise<LanguageClient | undefined> {
    this.be('starting')
    const command = await this.finder()
    if (!command) {
      this.be('failed')
      return undefined
    }
    await this.client?.dispose()
    const client = new LanguageClient('sidecar', 'Sidecar', { command, args: ['serve'] }, this.options())
    for (const name of NOTIFICATIONS) {
      client.onNotification(name, (told: unknown) => this.emitters.get(name)!.fire(told))
    }
    client.onRequest('sidecar/askSecret', ask)
    client.onRequest('window/showMessageRequest', (question: Question, token) => choose(question, token))
    client.onDidChangeState(({ newState }) => {
      if (this.client === client && newState === State.Running) this.be('running')
      if (this.client === client && newState === State.Stopped && this.state === 'running') this.be('starting')
    })
    this.client = client
    try {
      await client.start()
      return client
    } catch (error) {
      this.be('failed')
      await this.complain(error instanceof Error ? error.message : String(error))
      return undefined
    }
  }

  private options(): LanguageClientOptions {
    const commands = { executeCommand: this.execute.bind(this) }
    return {
      documentSelector: [{ scheme: 'file' }],
      initializationOptions: { sidecar: true },
      outputChannel: this.log,
      progressOnInitialization: false,
      middleware: {
        ...commands,
        provideCodeLenses: async (document, token, next) =>
          vscode.workspace.getConfiguration('sidecar').get<boolean>('codeLens') ? await next(document, token) : [],
      },
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue }),
        closed: () => this.closed(),
      },
    }
  }

  private async execute(name: string, args: unknown[], next: ExecuteCommandSignature): Promise<unknown> {
    const own = this.own.get(name)
    if (own) return await own(args[0])
    try {
      return await next(name, args)
    } catch (error) {
      await show(error)
      return undefined
    }
  }

  private closed() {
    const now = Date.now()
    this.ends = [...this.ends.filter((end) => now - end < MINUTES * 60_000), now]
    if (this.ends.length <= RESTARTS) return { action: CloseAction.Restart, handled: true }
    this.be('failed')
    void this.complain(`it ended ${this.ends.length} times in ${MINUTES} minutes`)
    return { action: CloseAction.DoNotRestart, handled: true }
  }

  private async complain(why: string): Promise<void> {
    const [again, log] = ['Restart', 'Show Log']
    const answer = await vscode.window.showErrorMessage(
      `The sidecar does not run: ${why}. Saved files are not lost, and jobs run on.`,
      again,
      log,
    )
    if (answer === again) await this.restart()
    if (answer === log) this.log.show()
  }

  private be(state: Running): void {
    if (this.state === state) return
    this.state = state
    this.changed.fire(state)
  }
}

/** Whether somebody called it off. */
export function wasCancelled(error: unknown): boolean {
  return error instanceof ResponseError && error.code === -32800
}
