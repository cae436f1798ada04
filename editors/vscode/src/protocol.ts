// The methods of the sidecar, typed by what is generated from its own source (`make docs`).
import type {
  AskSecretParams,
  ClientRequests,
  Notifications,
  Problem,
  Requests,
} from '../../../protocol/sidecar'

export type * from '../../../protocol/sidecar'

export type Method = keyof Requests
export type Params<M extends Method> = Requests[M]['params']
export type Result<M extends Method> = Requests[M]['result']
export type Told<N extends keyof Notifications> = Notifications[N]['params']
export type Asked = AskSecretParams
export type Answered = ClientRequests['sidecar/askSecret']['result']

/** `code` of an error response whose `data` is a Problem: somebody can do something about it. */
export const REQUEST_FAILED = -32803

/** What a failed request says to people; undefined where it was no failure that one can act on. */
export function problemOf(error: unknown): Problem | undefined {
  const { code, data } = (error ?? {}) as { code?: unknown; data?: unknown }
  return code === REQUEST_FAILED && typeof data === 'object' ? (data as Problem) : undefined
}
