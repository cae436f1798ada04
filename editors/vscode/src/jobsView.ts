// The view of jobs: what runs there, and what ran.
import * as vscode from 'vscode'

import type { Healths } from './health'
import type { Jobs, Origin } from './jobs'
import type { Health, Job } from './protocol'
import type { Server } from './server'

/** States in which a request for the list dials nothing and asks nobody anything. */
const CONNECTED: readonly Health['state'][] = ['ready', 'syncing', 'question']

/** Jobs of a host that are listed; all are in `sidecar jobs`. */
const LISTED = 50

export interface Listed {
  origin: Origin
  job: Job
}

export class JobsView implements vscode.TreeDataProvider<Listed>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>()
  private readonly parts: vscode.Disposable[]
  private readonly view: vscode.TreeView<Listed>

  readonly onDidChangeTreeData = this.changed.event

  constructor(
    private readonly server: Server,
    private readonly healths: Healths,
    jobs: Jobs,
  ) {
    this.view = vscode.window.createTreeView('sidecar.jobs', { treeDataProvider: this })
    const states = new Map<string, Health['state']>()
    this.parts = [
      this.changed,
      this.view,
      jobs.onDidChange(() => this.refresh()),
      healths.onDidChange(({ project, host, state }) => {
        const before = states.get(`${project}\0${host}`)
        states.set(`${project}\0${host}`, state)
        if (before !== state && state !== 'syncing' && before !== 'syncing') this.refresh()
      }),
    ]
  }

  refresh(): void {
    this.changed.fire()
  }

  async getChildren(parent?: Listed): Promise<Listed[]> {
    if (parent) return []
    const open = this.healths.projects.flatMap((project) => this.healths.of(project))
    const asked = open.filter((one) => one.inUse && CONNECTED.includes(one.state))
    const listed = await Promise.all(asked.map((one) => this.of({ project: one.project, host: one.host })))
    return listed.flat()
  }

  getTreeItem({ origin, job }: Listed): vscode.TreeItem {
    const running = job.state === 'running'
    // The folders are in the tooltip: a view is narrow.
    const item = new vscode.TreeItem(job.command.replace(/\S*\//g, ''))
    item.id = `${origin.project}\0${job.host}\0${job.id}`
    item.description = describe(job)
    item.tooltip = tooltip(job)
    item.iconPath = iconOf(job)
    item.contextValue = running ? 'job.running' : 'job.over'
    item.command = { title: 'Show Output', command: 'sidecar.attachJob', arguments: [{ origin, job }] }
    return item
  }

  dispose(): void {
    for (const part of this.parts) part.dispose()
  }

  private async of(origin: Origin): Promise<Listed[]> {
    const result = await this.server.request('sidecar/jobs', origin).catch(() => undefined)
    return (result?.jobs ?? []).slice(0, LISTED).map((job) => ({ origin, job }))
  }
}

/** "status 0 · gpu1 · 14:02". */
export function describe(job: Job): string {
  const how = job.signal || (job.exitStatus === null ? job.state : `status ${job.exitStatus}`)
  const gpus = job.gpus.length > 0 ? `GPU ${job.gpus.join(', ')}` : ''
  return [how, gpus, job.host, clock(job.started)].filter((part) => part).join(' · ')
}

function clock(time: string): string {
  const at = new Date(time)
  const today = at.toDateString() === new Date().toDateString()
  return today ? at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) : at.toLocaleDateString()
}

function tooltip(job: Job): string {
  const lines = [job.command, job.id, `${job.host}${job.machine ? ` (${job.machine})` : ''}`, job.interpreter]
  if (job.commit) lines.push(`commit ${job.commit.slice(0, 10)}${job.dirty ? `, ${job.dirty} files changed` : ''}`)
  if (job.changed) lines.push(`${job.changed} files were changed since it began`)
  if (job.why) lines.push(job.why)
  return lines.filter((line) => line).join('\n')
}

function iconOf(job: Job): vscode.ThemeIcon {
  if (job.state === 'running') return new vscode.ThemeIcon('play-circle', new vscode.ThemeColor('charts.green'))
  if (job.exitStatus === 0) return new vscode.ThemeIcon('pass')
  if (job.state === 'exited') return new vscode.ThemeIcon('error', new vscode.ThemeColor('charts.red'))
  return new vscode.ThemeIcon('circle-slash')
}
