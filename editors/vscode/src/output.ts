// What a job's output becomes in a terminal here.
import type { Folder, Output } from './protocol'

/** Text of a job's parts, in the order that they come in. A character may be cut between two parts, and
 * stdout and stderr are cut for themselves. */
export class Decoder {
  private readonly streams = { stdout: new TextDecoder(), stderr: new TextDecoder() }

  /** @param raw the job has a terminal there, which makes its own line ends. */
  constructor(private readonly raw: boolean) {}

  take(part: Output): string {
    const bytes = new Uint8Array(Buffer.from(part.data, part.encoding === 'base64' ? 'base64' : 'utf8'))
    const text = this.streams[part.stream].decode(bytes, { stream: true })
    return this.raw ? text : text.replace(/\r?\n/g, '\r\n')
  }
}

/** A place in a file here that a line of output names. */
export interface Place {
  start: number
  length: number
  path: string
  line: number
}

const TRACEBACK = /File "([^"]+)", line (\d+)/g
const REPORT = /(?:^|\s)((?:[\w@%+.-]*\/)*[\w@%+.-]+\.py):(\d+)\b/g

/** The places that a line names: as tracebacks and pytest write them, in folders that are on both
 * sides.
 *
 * @param cwd the job's folder there, from which relative names count.
 */
export function places(line: string, folders: readonly Folder[], cwd: string): Place[] {
  const found: Place[] = []
  for (const pattern of [TRACEBACK, REPORT]) {
    for (const match of line.matchAll(pattern)) {
      const [whole, name, number] = match
      if (!name || !number) continue
      const path = here(name.startsWith('/') ? name : `${cwd}/${name}`, folders)
      const start = match.index + whole.indexOf(name)
      const length = match.index + whole.length - start
      if (path) found.push({ start, length, path, line: Number(number) })
    }
  }
  return found
}

function here(there: string, folders: readonly Folder[]): string | undefined {
  const folder = folders.find((one) => there.startsWith(`${one.there}/`))
  return folder && folder.here + there.slice(folder.there.length)
}
