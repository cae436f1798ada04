// Which project is meant: that of a file, of the editor in front, or of a workspace folder.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'

const FILES = ['sidecar.toml', 'sidecar.local.toml']

/** Whether there is something to start the sidecar for: a configuration in a folder or above it. Which
 * one counts, and whether it is right, the sidecar says. */
export function isConfigured(folder: string): boolean {
  for (let at = folder; ; at = dirname(at)) {
    if (FILES.some((name) => existsSync(join(at, name))) || isNamed(join(at, 'pyproject.toml'))) return true
    if (dirname(at) === at) return false
  }
}

function isNamed(path: string): boolean {
  try {
    return /^\s*\[\s*tool\s*\.\s*sidecar\s*[.\]]/m.test(readFileSync(path, 'utf8'))
  } catch {
    return false
  }
}

export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}

/** Of the folders that hold a path, the innermost: a project within another owns its files. */
export function innermost(path: string, folders: Iterable<string>): string | undefined {
  let found: string | undefined
  for (const folder of folders) {
    if (isWithin(path, folder) && folder.length > (found?.length ?? -1)) found = folder
  }
  return found
}
