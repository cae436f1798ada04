// The view of ports: what is reached there by a port here, and what could be.
import * as vscode from 'vscode'

import type { Healths } from './health'
import type { Port } from './protocol'
import type { Server } from './server'

export interface Listening {
  project: string
  host: string
  port: Port
}

export class Ports implements vscode.TreeDataProvider<Listening>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>()
  private readonly parts: vscode.Disposable[]

  readonly onDidChangeTreeData = this.changed.event

  constructor(
    private readonly server: Server,
    private readonly healths: Healths,
  ) {
    const states = new Map<string, string>()
    this.parts = [
      this.changed,
      vscode.window.registerTreeDataProvider('sidecar.ports', this),
      server.on('sidecar/forwarded', () => this.changed.fire()),
      healths.onDidChange(({ project, host, state }) => {
        const before = states.get(`${project}\0${host}`)
        states.set(`${project}\0${host}`, state)
        if (before !== state && (state === 'ready' || state === 'disconnected')) this.changed.fire()
      }),
    ]
  }

  async getChildren(parent?: Listening): Promise<Listening[]> {
    if (parent) return []
    const open = this.healths.projects.flatMap((project) => this.healths.of(project))
    const ready = open.filter((one) => one.host && one.state === 'ready')
    const asked = ready.map(async ({ project, host }) => {
      const result = await this.server.request('sidecar/ports', { project, host }).catch(() => undefined)
      return (result?.ports ?? []).map((port) => ({ project, host, port }))
    })
    return (await Promise.all(asked)).flat()
  }

  getTreeItem({ host, port }: Listening): vscode.TreeItem {
    const isOpen = port.state === 'open'
    const item = new vscode.TreeItem(port.name || port.there)
    item.description = [isOpen ? port.here : port.state, host].join(' · ')
    item.tooltip = [port.text, port.command, port.url].filter((line) => line).join('\n')
    item.contextValue = `port.${port.state}`
    item.iconPath = new vscode.ThemeIcon(isOpen ? 'plug' : 'debug-disconnect')
    return item
  }

  /** Reaches a port there from here: the one of a row, else one that is typed. */
  async forward(target?: Listening): Promise<void> {
    const title = 'Forward a Port of the Remote'
    const prompt = 'A port there (6006), with another one here (9000:6006), or of another machine there (9000:node7:6006)'
    const port = target ? String(target.port.remotePort) : await vscode.window.showInputBox({ title, prompt })
    if (!port) return
    const place = target ? { project: target.project, host: target.host } : { project: this.healths.place }
    const result = await this.server.ask('sidecar/forward', { ...place, ports: [port] })
    if (!result) return
    this.changed.fire()
    const open = result.ports.find(urlOf)
    if (!open || target) return
    const browser = 'Open in Browser'
    const text = open.text || `${open.there} is at ${open.here}`
    if ((await vscode.window.showInformationMessage(text, browser)) === browser) await browse(open)
  }

  async close(target?: Listening): Promise<void> {
    if (!target) return
    const { project, host, port } = target
    await this.server.ask('sidecar/forward', { project, host, ports: [String(port.remotePort)], close: true })
    this.changed.fire()
  }

  async browse(target?: Listening): Promise<void> {
    if (target) await browse(target.port)
  }

  dispose(): void {
    for (const part of this.parts) part.dispose()
  }
}

/** What a browser may try: a person named the port, and knows whether it is a page. */
function urlOf(port: Port): string {
  return port.url || (port.state === 'open' && port.port > 0 ? `http://127.0.0.1:${port.port}/` : '')
}

async function browse(port: Port): Promise<void> {
  if (urlOf(port)) await vscode.env.openExternal(vscode.Uri.parse(urlOf(port)))
}
