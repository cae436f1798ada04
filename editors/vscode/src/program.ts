// Where the `sidecar` program is, and how it gets here. Never from the project's environment: what is
// installed there belongs to the project.
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, dirname, join, sep } from 'node:path'

/** The oldest program that says all that this client asks for. */
export const OLDEST = '0.1.0'

/** The oldest Python that it runs on. */
const PYTHON = [3, 10] as const

const WINDOWS = process.platform === 'win32'
const BIN = WINDOWS ? 'Scripts' : 'bin'
const EXE = WINDOWS ? '.exe' : ''

export type Found =
  | { kind: 'found'; path: string; version: string }
  | { kind: 'missing' }
  /** There is one, and it cannot be used; `why` is for people. */
  | { kind: 'unusable'; path: string; why: string }

export interface Place {
  /** The setting `sidecar.path`, "" where there is none. */
  setting: string
  /** The extension's own folder, which outlives its updates. */
  storage: string
  /** Folders whose programs are the project's: never looked into. */
  projects: readonly string[]
  environment: NodeJS.ProcessEnv
}

/** The setting, else the PATH, else our own. The first that is there counts, whether it works or not:
 * a person who named one wants to know that it does not. */
export async function find(place: Place): Promise<Found> {
  if (place.setting) return look(expanded(place.setting), place)
  for (const path of [...candidates(place, `sidecar${EXE}`), own(place.storage)]) {
    if (await executable(path)) return look(path, place)
  }
  return { kind: 'missing' }
}

/** The program of our own, there or not. */
export function own(storage: string): string {
  return join(storage, 'python', BIN, `sidecar${EXE}`)
}

/** Puts the program into our own folder, with an environment of its own.
 *
 * @param what a package as pip takes it.
 * @throws Error whose message says what to do.
 */
export async function install(what: string, place: Place, signal: AbortSignal): Promise<void> {
  const folder = join(place.storage, 'python')
  const options = { cwd: place.storage, env: cleaned(place.environment), signal }
  await mkdir(place.storage, { recursive: true })
  await rm(folder, { recursive: true, force: true })
  const python = join(folder, BIN, `python${EXE}`)
  const uv = await first(candidates(place, `uv${EXE}`))
  try {
    if (uv) {
      await run(uv, ['venv', '--quiet', '--no-project', '--python', `>=${PYTHON.join('.')}`, folder], options)
      await run(uv, ['pip', 'install', '--quiet', '--python', python, what], options)
    } else {
      await run(await aPython(place), ['-m', 'venv', folder], options)
      await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', what], options)
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** Whether `version` is not older than `oldest`; what is no version counts as new. */
export function isRecent(version: string, oldest: string): boolean {
  const parts = (text: string) => text.split('.').map((part) => Number.parseInt(part, 10))
  const [ours, theirs] = [parts(version), parts(oldest)]
  for (const [at, wanted] of theirs.entries()) {
    const got = ours[at] ?? 0
    if (Number.isNaN(got)) return true
    if (got !== wanted) return got > wanted
  }
  return true
}

async function look(path: string, place: Place): Promise<Found> {
  let said: string
  try {
    said = await run(path, ['--version'], { env: cleaned(place.environment) })
  } catch (error) {
    return { kind: 'unusable', path, why: message(error) }
  }
  const version = /^sidecar (\S+)/.exec(said)?.[1]
  // PyPI has a Jupyter widget of the same name.
  if (!version) return { kind: 'unusable', path, why: 'it is another program of that name' }
  if (isRecent(version, OLDEST)) return { kind: 'found', path, version }
  return { kind: 'unusable', path, why: `it is version ${version}, and ${OLDEST} is needed` }
}

/** Programs of that name on the PATH, but for those of active environments and of the projects. */
function candidates(place: Place, name: string): string[] {
  const environments = ['VIRTUAL_ENV', 'CONDA_PREFIX'].map((one) => place.environment[one] ?? '')
  const closed = [...environments, ...place.projects].filter((folder) => folder !== '')
  const folders = (place.environment.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  // Where `uv tool` and `pipx` put programs, which a desktop's PATH may lack.
  folders.push(join(homedir(), '.local', 'bin'))
  return folders
    .filter((folder) => !closed.some((one) => folder === one || folder.startsWith(one + sep)))
    .map((folder) => join(folder, name))
}

async function aPython(place: Place): Promise<string> {
  const check = `import sys, venv, ensurepip; sys.exit(sys.version_info < (${PYTHON.join(', ')}))`
  for (const name of WINDOWS ? ['py.exe', 'python.exe'] : ['python3', 'python']) {
    for (const path of candidates(place, name)) {
      if (!(await executable(path))) continue
      try {
        await run(path, ['-c', check], { env: cleaned(place.environment) })
        return path
      } catch {
        // Too old, or without venv (Debian has that in a package of its own): the next one.
      }
    }
  }
  throw new Error(
    `There is no Python ${PYTHON.join('.')} or newer with venv on the PATH. ` +
      'Install one, or uv (https://docs.astral.sh/uv), and try again.',
  )
}

/** Without what an active environment would have Python look into. */
function cleaned(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { PYTHONPATH: _path, PYTHONHOME: _home, VIRTUAL_ENV: _venv, ...rest } = environment
  return rest
}

function expanded(path: string): string {
  return path.startsWith('~/') ? join(homedir(), path.slice(2)) : path
}

async function executable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

async function first(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await executable(path)) return path
  return undefined
}

interface RunOptions {
  cwd?: string
  env: NodeJS.ProcessEnv
  signal?: AbortSignal
}

/** The output of a program that ended well. */
function run(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  const cwd = options.cwd ?? dirname(program)
  return new Promise((resolve, reject) => {
    execFile(program, args, { ...options, cwd, windowsHide: true }, (error, stdout, stderr) => {
      if (error) reject(new Error(stderr.trim() || error.message, { cause: error }))
      else resolve(stdout)
    })
  })
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
