// Run and Debug: save first, so that what runs there is what is seen here; then one request.
import { dirname } from 'node:path'
import * as vscode from 'vscode'

import type { Healths } from './health'
import { type Jobs, titleOf } from './jobs'
import { isWithin } from './projects'
import type { RunParams } from './protocol'
import type { Server } from './server'
import { quoted, words } from './words'

export class Runs {
  constructor(
    private readonly server: Server,
    private readonly healths: Healths,
    private readonly jobs: Jobs,
  ) {}

  /** Saves what the setting says, and runs. */
  async run(params: RunParams, target = params.target): Promise<void> {
    const file = target.split('::')[0] ?? target
    const isFile = !params.module && file.startsWith('/')
    if (!(await this.save(isFile ? file : undefined))) return
    const dirty = vscode.workspace.textDocuments.filter((one) => one.isDirty && one.uri.scheme === 'file')
    const project = params.project || (isFile ? dirname(file) : this.healths.place)
    this.jobs.run({ ...params, project, dirty: dirty.map((one) => one.uri.fsPath) }, titleOf(target))
  }

  /** The file of the editor in front, or of a button. */
  async file(target?: vscode.Uri): Promise<void> {
    const path = this.pathOf(target)
    if (path) await this.run({ target: path, recall: true })
  }

  async withArguments(target?: vscode.Uri): Promise<void> {
    const path = this.pathOf(target)
    if (!path) return
    const known = await this.server.ask('sidecar/arguments', { target: path, project: dirname(path) })
    if (!known) return
    const title = `Arguments of ${known.target}`
    const prompt = 'They are kept for the next runs; quote what has spaces'
    const typed = await vscode.window.showInputBox({ title, prompt, value: known.args.map(quoted).join(' ') })
    if (typed === undefined) return
    const args = words(typed)
    await this.run({ target: path, args: args.length > 0 ? args : ['--'], recall: true })
  }

  async selection(): Promise<void> {
    const editor = vscode.window.activeTextEditor
    if (!editor) return
    const { start, end } = editor.selection
    const last = end.character === 0 && end.line > start.line ? end.line : end.line + 1
    await this.run({ target: editor.document.uri.fsPath, first: start.line + 1, last })
  }

  shell(): void {
    const project = this.healths.place
    // The shell that there is, there: only a command line there knows which.
    const target = 'sh'
    const args = ['-c', 'exec "${SHELL:-sh}" -l']
    this.jobs.run({ project, target, args, asShell: true }, 'shell')
  }

  /** False where something could not be saved: VS Code said why. */
  async save(file: string | undefined): Promise<boolean> {
    const what = vscode.workspace.getConfiguration('sidecar').get<string>('saveBeforeRun')
    const project = file ? this.healths.projectOf(vscode.Uri.file(file)) : this.healths.project
    for (const document of vscode.workspace.textDocuments) {
      const { fsPath, scheme } = document.uri
      if (!document.isDirty || scheme !== 'file' || what === 'nothing') continue
      if (fsPath !== file && (what === 'file' || !project || !isWithin(fsPath, project))) continue
      if (!(await document.save())) return false
    }
    return true
  }

  private pathOf(target?: vscode.Uri): string | undefined {
    const uri = target ?? vscode.window.activeTextEditor?.document.uri
    if (uri?.scheme === 'file') return uri.fsPath
    void vscode.window.showWarningMessage('No file is open here.')
    return undefined
  }
}
