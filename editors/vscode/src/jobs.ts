// Jobs: each has a terminal that shows its output and takes what is typed. The job is the remote's: a
// terminal that is closed, or a window, ends nothing there.
import { basename } from 'node:path'
import * as vscode from 'vscode'

import { problemOf, type Exited, type Folder, type Output, type RunParams } from './protocol'
import { Decoder, places, type Place } from './output'
import { show } from './failures'
import { isWithin } from './projects'
import type { Server } from './server'

const DIM = '\x1b[2m'
const PLAIN = '\x1b[0m'
const RED = '\x1b[31m'

/** Parts of output that may wait for the answer that says whose they are. */
const MOST_EARLY = 1000

/** Where a job comes from; `project` and `host` as requests name them. */
export interface Origin {
  project: string
  host?: string
}

interface Size {
  rows: number
  columns: number
}

/** What a started job, or one attached to, says of itself. */
interface Begun {
  job: string
  host: string
  raw: boolean
  folders: Folder[]
  cwd: string
  headline: string
  title: string
}

type Begin = (size: Size, token: vscode.CancellationToken) => Promise<Begun | undefined>

/** What is kept of an open terminal, so that the next window continues it. */
interface Kept {
  job: string
  host: string
  project: string
  title: string
}

const KEPT = 'sidecar.openJobs'

type Link = vscode.TerminalLink & Place

/** The terminals of one window. */
export class Jobs implements vscode.Disposable, vscode.TerminalLinkProvider<Link> {
  private readonly shown: JobTerminal[] = []
  private readonly early = new Map<string, (Output | Exited)[]>()
  private readonly changed = new vscode.EventEmitter<void>()
  private readonly parts: vscode.Disposable[]

  /** A job began or ended. */
  readonly onDidChange = this.changed.event

  constructor(
    private readonly server: Server,
    private readonly memory: vscode.Memento,
  ) {
    this.parts = [
      this.changed,
      server.on('sidecar/output', (part) => this.take(part.job, part)),
      server.on('sidecar/exited', (end) => {
        this.take(end.job, end)
        this.changed.fire()
      }),
      server.onDidChange((running) => {
        if (running === 'running') for (const one of this.shown) void one.continue()
        else for (const one of this.shown) one.cut()
      }),
      vscode.window.onDidCloseTerminal((terminal) => this.closed(terminal)),
      vscode.window.registerTerminalLinkProvider(this),
    ]
  }

  /** Runs something in a terminal: in that of its last run, where that is over. */
  run(params: RunParams, title: string): void {
    this.begin(params.project ?? '', params.host, title, async (size, token) => {
      const run = { ...params, terminal: true, ...size }
      const result = await this.server.request('sidecar/run', run, token)
      if (!result) return undefined
      this.changed.fire()
      const { warning, before } = result
      const headline = [result.headline, warning, before].filter((line) => line).join('\r\n')
      return { ...result, raw: true, headline, title: [title, ...result.args].join(' ') }
    })
  }

  rerun(origin: Origin, job: string, title: string): void {
    this.begin(origin.project, origin.host, title, async (size, token) => {
      const result = await this.server.request('sidecar/rerun', { ...origin, job, terminal: true, ...size }, token)
      if (!result) return undefined
      this.changed.fire()
      const headline = [...result.differences, result.headline].join('\r\n')
      return { ...result, raw: true, headline, title }
    })
  }

  /** Shows a job from the beginning of its output on. */
  attach(origin: Origin, job: string, title: string): void {
    const open = this.shown.find((one) => one.job === job && !one.isCut)
    if (open) {
      open.terminal?.show()
      return
    }
    this.begin(origin.project, origin.host, title, async (_, token) => {
      const result = await this.server.request('sidecar/attach', { ...origin, job }, token)
      return result && { ...result, raw: result.terminal, headline: '', title }
    })
  }

  /** Opens again what the last window had open and still runs. */
  async resume(project: string): Promise<void> {
    const kept = this.memory.get<Kept[]>(KEPT, [])
    const mine = kept.filter((one) => isWithin(one.project, project))
    const others = kept.filter((one) => !mine.includes(one))
    if (mine.length === 0) return
    await this.memory.update(KEPT, others)
    for (const host of new Set(mine.map((one) => one.host))) {
      const jobs = await this.server.request('sidecar/jobs', { project, host }).catch(() => undefined)
      for (const { job, title } of mine.filter((one) => one.host === host)) {
        const running = jobs?.jobs.some((one) => one.id === job && one.state === 'running')
        if (running) this.attach({ project, host }, job, title)
      }
    }
  }

  /** The job of the terminal in front, while it runs. */
  get current(): (Origin & { job: string }) | undefined {
    const one = this.shown.find((one) => one.terminal === vscode.window.activeTerminal)
    return one?.job && !one.over ? { project: one.project, host: one.host, job: one.job } : undefined
  }

  provideTerminalLinks(context: vscode.TerminalLinkContext): Link[] {
    const job = this.shown.find((one) => one.terminal === context.terminal)
    if (!job) return []
    return places(context.line, job.folders, job.cwd).map((place) => ({
      ...place,
      startIndex: place.start,
      tooltip: `${place.path}:${place.line}`,
    }))
  }

  async handleTerminalLink(link: Link): Promise<void> {
    const at = new vscode.Position(Math.max(0, link.line - 1), 0)
    await vscode.window.showTextDocument(vscode.Uri.file(link.path), { selection: new vscode.Range(at, at) })
  }

  dispose(): void {
    for (const part of this.parts) part.dispose()
  }

  private begin(project: string, host: string | undefined, title: string, begin: Begin): void {
    const focus = vscode.workspace.getConfiguration('sidecar').get<boolean>('focusTerminal', false)
    let job = this.shown.find((one) => one.over && one.project === project && one.title === title)
    if (job) {
      job.again(begin)
    } else {
      job = new JobTerminal(this.server, project, host ?? '', title, begin, (begun) => this.begun(begun))
      job.terminal = vscode.window.createTerminal({
        name: title,
        pty: job,
        iconPath: new vscode.ThemeIcon('remote-explorer'),
        isTransient: true,
      })
      this.shown.push(job)
    }
    job.terminal?.show(!focus)
  }

  private take(job: string, told: Output | Exited): void {
    const shown = this.shown.filter((one) => one.job === job)
    for (const one of shown) one.take(told)
    if (shown.length === 0 && this.shown.some((one) => one.isStarting)) {
      const waiting = this.early.get(job) ?? []
      if (waiting.length < MOST_EARLY) this.early.set(job, [...waiting, told])
    }
    if (!('stream' in told)) void this.keep()
  }

  private begun(job: JobTerminal): void {
    for (const told of this.early.get(job.job) ?? []) job.take(told)
    if (!this.shown.some((one) => one.isStarting)) this.early.clear()
    void this.keep()
  }

  private closed(terminal: vscode.Terminal): void {
    const at = this.shown.findIndex((one) => one.terminal === terminal)
    const [job] = at < 0 ? [] : this.shown.splice(at, 1)
    // A window that closes takes its terminals along; those are continued by the next one.
    if (terminal.exitStatus?.reason !== vscode.TerminalExitReason.User || !job) return
    void this.keep()
    if (job.job && !job.over) void this.offerToStop(job)
  }

  private async offerToStop(job: JobTerminal): Promise<void> {
    const stop = 'Stop It'
    const answer = await vscode.window.showInformationMessage(`${job.title} runs on on ${job.host}.`, stop)
    const origin = { project: job.project, host: job.host }
    if (answer === stop) await this.server.ask('sidecar/signal', { ...origin, job: job.job, signal: 'stop' })
  }

  private async keep(): Promise<void> {
    const open = this.shown.filter((one) => one.job && !one.over)
    const kept = open.map(({ job, host, project, title }): Kept => ({ job, host, project, title }))
    await this.memory.update(KEPT, kept)
  }
}

/** The terminal of one job after another of the same title. */
class JobTerminal implements vscode.Pseudoterminal {
  private readonly written = new vscode.EventEmitter<string>()
  private readonly renamed = new vscode.EventEmitter<string>()
  private decoder = new Decoder(true)
  private size: Size = { rows: 24, columns: 80 }
  private starting: vscode.CancellationTokenSource | undefined
  private typed = ''
  private input = Promise.resolve()
  private end = 0

  readonly onDidWrite = this.written.event
  readonly onDidChangeName = this.renamed.event

  terminal: vscode.Terminal | undefined
  job = ''
  over = false
  /** The server that told of it has gone. */
  isCut = false
  folders: readonly Folder[] = []
  cwd = ''
  private raw = true

  constructor(
    private readonly server: Server,
    readonly project: string,
    public host: string,
    readonly title: string,
    private beginning: Begin,
    private readonly begun: (job: JobTerminal) => void,
  ) {}

  get isStarting(): boolean {
    return this.starting !== undefined
  }

  open(size: vscode.TerminalDimensions | undefined): void {
    if (size) this.size = size
    void this.begin()
  }

  close(): void {
    this.starting?.cancel()
  }

  again(begin: Begin): void {
    this.beginning = begin
    this.over = this.isCut = false
    this.job = this.typed = ''
    this.end = 0
    this.written.fire('\r\n')
    void this.begin()
  }

  handleInput(data: string): void {
    if (!this.job || this.over) {
      if (data === '\x03') this.starting?.cancel()
      else this.typed += this.isStarting ? data : ''
      return
    }
    if (this.raw) return this.send(data)
    // No terminal there makes lines of it, or shows it.
    const line = data.replace(/\r/g, '\n')
    this.written.fire(line.replace(/\n/g, '\r\n'))
    this.send(line)
  }

  setDimensions(size: vscode.TerminalDimensions): void {
    this.size = { rows: size.rows, columns: size.columns }
    if (this.job && !this.over && this.raw) this.tell('sidecar/resize', this.size)
  }

  take(told: Output | Exited): void {
    if ('stream' in told) {
      this.end = told.end
      this.written.fire(this.decoder.take(told))
      return
    }
    this.over = true
    const how = told.signal ? `ended by ${told.signal}` : told.status >= 0 ? `status ${told.status}` : 'ended'
    this.remark(`\r\n[${told.why ? `${how}: ${told.why}` : how}]`)
    if (told.advice) this.remark(told.advice.replace(/\n/g, '\r\n'))
  }

  /** The server has gone; the job runs on. */
  cut(): void {
    if (!this.job || this.over || this.isCut) return
    this.isCut = true
    this.remark('\r\n[the sidecar has gone; the job runs on]')
  }

  /** Another server is there: goes on behind what was seen last. */
  async continue(): Promise<void> {
    if (!this.isCut) return
    try {
      const origin = { project: this.project, host: this.host, job: this.job, offset: this.end }
      if (await this.server.request('sidecar/attach', origin)) this.isCut = false
    } catch (error) {
      this.remark(`[${problemOf(error)?.what ?? String(error)}]`)
    }
  }

  private async begin(): Promise<void> {
    const source = (this.starting = new vscode.CancellationTokenSource())
    let begun: Begun | undefined
    try {
      begun = await this.beginning(this.size, source.token)
    } catch (error) {
      this.refused(error)
    }
    this.starting = undefined
    source.dispose()
    if (!begun) {
      this.over = true
      return
    }
    this.job = begun.job
    this.host = begun.host
    this.folders = begun.folders
    this.cwd = begun.cwd
    this.raw = begun.raw
    this.decoder = new Decoder(begun.raw)
    this.renamed.fire(begun.title)
    if (begun.headline) this.remark(begun.headline)
    this.begun(this)
    if (this.typed) this.send(this.typed)
    this.typed = ''
  }

  private refused(error: unknown): void {
    const problem = problemOf(error)
    if (problem) this.written.fire(`${RED}${problem.what}${PLAIN}\r\n`)
    void show(error)
  }

  /** One after the other: keys keep their order. */
  private send(data: string): void {
    this.input = this.input.then(() => this.tell('sidecar/input', { data, encoding: 'utf-8' }))
  }

  private async tell(method: 'sidecar/input' | 'sidecar/resize', params: object): Promise<void> {
    const origin = { project: this.project, host: this.host, job: this.job }
    // A job may end while a key is on its way: no reason to complain.
    await this.server.request(method, { ...origin, ...params } as never).catch((error: unknown) => {
      if (!problemOf(error)) void show(error)
    })
  }

  private remark(text: string): void {
    this.written.fire(`${DIM}${text}${PLAIN}\r\n`)
  }
}

export function titleOf(target: string): string {
  const [file, ...test] = target.split('::')
  return [basename(file ?? target), ...test].join('::')
}
