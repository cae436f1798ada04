// Generated from sidecar/api.py by `make docs`; do not edit.

export const VERSION: 1;

/**
 * A module of the agent, its text as it is sent: without comments and docstrings, every line
 * where it is in the package.
 */
export interface AgentModule {
  name: string;
  text: string;
}

/**
 * Dials nothing.
 */
export interface AgentSourceParams {
}

/**
 * All that is sent to a remote to start an agent. `digest`: of the whole, in hexadecimal.
 */
export interface AgentSourceResult {
  digest: string;
  modules: AgentModule[];
}

/**
 * What `recall` of RunParams knows of a target; `args` sets it, [] forgets it.
 */
export interface ArgumentsParams {
  project?: string;
  host?: string;
  target: string;
  module?: boolean;
  cwd?: string;
  args?: string[] | null;
}

/**
 * `target`: relative to the project's root.
 */
export interface ArgumentsResult {
  target: string;
  args: string[];
}

/**
 * Request `sidecar/askSecret` to the client. The answer's `value` is None where the person
 * dismissed it.
 */
export interface AskSecretParams {
  host: string;
  prompt: string;
  echo: boolean;
  problem: string;
}

export interface AskSecretResult {
  value?: string | null;
}

/**
 * Output comes from `offset` of the job's log on, then as it appears.
 */
export interface AttachParams {
  project?: string;
  host?: string;
  job?: string;
  offset?: number;
  follow?: boolean;
}

/**
 * `terminal`: the job has one, so what is typed should go there key by key. `folders`, `cwd`
 * and `links` as in RunResult.
 */
export interface AttachResult {
  job: string;
  host: string;
  terminal: boolean;
  folders: Folder[];
  cwd: string;
  links: boolean;
}

/**
 * Lists all that is kept for the project on that host, then removes it, once the person said
 * yes or `yes` is set. `dryRun` only lists. `all`: also what others started on this account.
 * `seen`: of an earlier answer, so that what goes is what was listed then.
 */
export interface CleanParams {
  project?: string;
  host?: string;
  all?: boolean;
  dryRun?: boolean;
  yes?: boolean;
  seen?: string;
}

/**
 * `folder`: the project's there, and whether it `exists`. `kept`: all that was found.
 * `removed`: whether what does not stay was removed, but for `left`, each of which says why in
 * `stays`. `seen`: names this list.
 */
export interface CleanResult {
  host: string;
  folder: string;
  exists: boolean;
  kept: Kept[];
  removed: boolean;
  left: Kept[];
  seen: string;
}

/**
 * Looks at both sides, and changes nothing.
 */
export interface ConflictsParams {
  project?: string;
  host?: string;
}

export interface ConflictsResult {
  notes: PathNote[];
}

/**
 * Something that a sync overwrote or removed, and that can be brought back. `when`: ISO 8601
 * in UTC. `side`: where it was, and lies.
 */
export interface Copy {
  id: string;
  side: "local" | "remote";
  path: string;
  kind: "file" | "link";
  size: number;
  when: string;
  why: string;
}

/**
 * Notification `sidecar/debugEnded`: nothing listens on that port any more. `why` is empty
 * where the debuggee or its client ended it.
 */
export interface DebugEnded {
  port: number;
  why: string;
}

/**
 * What a failed job ran, once more, with today's code under debugpy: it stops where an
 * exception leaves the program. `job`: "" is the last one of this project that failed. `env`:
 * values for the variables that were given with it; `asIs` and `strict` as in DebugParams.
 */
export interface DebugFailureParams {
  project?: string;
  host?: string;
  job?: string;
  env?: Record<string, string>;
  asIs?: boolean;
  strict?: boolean;
}

/**
 * As RunParams, under debugpy. The debuggee starts when a client connects and launches.
 */
export interface DebugParams {
  project?: string;
  host?: string;
  target: string;
  args?: string[];
  module?: boolean;
  cwd?: string;
  env?: Record<string, string>;
  asIs?: boolean;
  stopOnEntry?: boolean;
  justMyCode?: boolean;
  recall?: boolean;
  strict?: boolean;
  stopOnRank?: string;
}

/**
 * A DAP server for one client, here. Attach to it; it launches what was asked for.
 * `configuration`: what to give a DAP client as its attach configuration.
 */
export interface DebugResult {
  host: string;
  port: number;
  configuration: Record<string, string | number | boolean>;
}

/**
 * `path`: absolute. `color`: with the terminal's colours, where git is there to make them.
 */
export interface DiffParams {
  project?: string;
  host?: string;
  path: string;
  color?: boolean;
}

/**
 * `text`: a unified diff from what is here to what is there, "" where both are equal; `binary`:
 * there is none, since one of them is no text. `file`: a copy of theirs, and `patch`: the diff, as
 * files that stay for a while; "" where there is none. `why`: why they were not compared.
 */
export interface DiffResult {
  path: string;
  text: string;
  binary: boolean;
  here: Version;
  there: Version;
  file: string;
  patch: string;
  why: string;
}

/**
 * Walks the whole way to a Python there. Changes nothing; dials, and may ask what a sign-in
 * asks.
 */
export interface DoctorParams {
  project?: string;
  host?: string;
}

/**
 * The way ends behind the first finding that "failed" and leads nowhere.
 */
export interface DoctorResult {
  findings: Finding[];
}

/**
 * Nothing to say.
 */
export interface Empty {
}

/**
 * Notification `sidecar/exited`. `status`: exit status, -1 where a signal or the unknown ended
 * it; `signal`: its name ("KILL") or "". `error`: last line of an uncaught traceback; `frames`:
 * outermost call first. `left`: pids there of what it started and what lives on. `failures`: all
 * tracebacks, that one too, in the order of the output. `advice`: what the failure has to do with
 * what is not synced, in a line for people; "" for nothing.
 */
export interface Exited {
  job: string;
  host: string;
  status: number;
  signal: string;
  why: string;
  error: string;
  frames: Frame[];
  left: number[];
  failures: Failure[];
  advice: string;
}

/**
 * A traceback in a failed job's output, or a failed test. `error`: the line that names the
 * exception; `message`: all of what it says. `kind`: "" for what ended the program, or the test
 * that pytest calls `test`; "chained" where another one followed from it; "inside" for a part of
 * an exception group; "ignored" where Python said so.
 */
export interface Failure {
  error: string;
  message: string;
  frames: Frame[];
  kind: "" | "chained" | "ignored" | "inside";
  test: string;
}

/**
 * One step of that way, also told at once as notification `sidecar/finding` to who asked.
 * `fix`: what to do where it is not "ok".
 */
export interface Finding {
  state: "failed" | "note" | "ok";
  step: string;
  text: string;
  fix: string;
}

/**
 * The same folder on both sides, by one of its names on each.
 */
export interface Folder {
  here: string;
  there: string;
}

/**
 * Opens ways to ports there, and answers with them. `ports`: as `forward` of a host's settings
 * has them: "6006", "9000:127.0.0.1:9001", "9000:/run/there.sock", "/tmp/here.sock:9001"; none:
 * all that the settings and the LocalForwards of the ssh configuration name. `close`: ends them
 * instead, whoever opened them; a port's number there or here will do. `address`: where to listen
 * besides the loopback ("0.0.0.0"): then other machines get in too.
 *
 * What a client opened is closed when the client goes, unless somebody else has it too.
 */
export interface ForwardParams {
  project?: string;
  host?: string;
  ports?: string[];
  close?: boolean;
  address?: string;
}

export interface ForwardResult {
  host: string;
  ports: Port[];
}

/**
 * Notification `sidecar/forwarded`: a port of the host was opened, offered, closed, or is
 * otherwise not what was told before. The one with the same `there` is replaced by it; "closed"
 * removes it.
 */
export interface Forwarded {
  project: string;
  host: string;
  port: Port;
}

/**
 * One line of a traceback. `path` is local where the file is the project's, else remote.
 */
export interface Frame {
  path: string;
  line: number;
  name: string;
  local: boolean;
}

/**
 * `action` "status" only looks; "push" brings branch, HEAD and index there up to here, and
 * makes the repository where there is none; "repair" does so too where commits were made there,
 * which are brought here and kept there. `yes`: whatever there is to send.
 */
export interface GitParams {
  project?: string;
  host?: string;
  action?: "push" | "repair" | "status";
  yes?: boolean;
}

/**
 * `state`: "same"; "waits" (it is behind, and `text` says why); "apart" (commits there are not
 * here); "absent" (no repository there); "left" (one of both is left alone); "none" (no repository
 * here, or no git there). `head` and `branch`: of the one there. `kept`: refs there that keep what
 * was before. `fetched`: the ref here of what was committed there.
 */
export interface GitResult {
  host: string;
  state: "absent" | "apart" | "left" | "none" | "same" | "waits";
  text: string;
  fix: string;
  head: string;
  branch: string;
  kept: string[];
  fetched: string;
  notes: string[];
}

/**
 * A GPU, or a slice of one (`slice`: "1g.10gb", `parent`: the index of the GPU that it is a
 * part of). `uuid`: what CUDA_VISIBLE_DEVICES takes. `utilization`: percent, -1 where it is not
 * told, as of slices. Memory in bytes, -1 where it is not told. `claimed`: the job of ours that it
 * was given to. `free`: `--gpus` may choose it; `text`: why not.
 */
export interface Gpu {
  index: number;
  uuid: string;
  name: string;
  utilization: number;
  memoryUsed: number;
  memoryTotal: number;
  processes: GpuProcess[];
  slice: string;
  parent: number;
  claimed: string;
  free: boolean;
  text: string;
}

/**
 * `user`, `command`: as far as they can be seen there. `memory`: bytes on the GPU, -1 where the
 * driver does not tell. `job`: of ours that it belongs to. `slice`: of a GPU in MIG mode, the
 * GPU instance's number, -1 for none.
 */
export interface GpuProcess {
  pid: number;
  user: string;
  command: string;
  memory: number;
  job: string;
  slice: number;
}

/**
 * Looks now, which takes up to some seconds.
 */
export interface GpusParams {
  project?: string;
  host?: string;
}

/**
 * `problem`: why no GPU is told, where there is a driver or a tool; "" where there is none at
 * all.
 */
export interface GpusResult {
  host: string;
  machine: Machine;
  gpus: Gpu[];
  driver: string;
  problem: string;
}

/**
 * A project's state on one host. `state`: "idle" (not dialled), "connecting", "ready",
 * "syncing", "question" (waits for a decision), "disconnected". `text` says it for people.
 * `transfers`: large files that are being sent, told a few times a second. `inUse`: where the
 * project has several hosts, this is the one that saves and runs go to. `load`: how busy the
 * machine and its GPUs are, in a few words; looked at while somebody asks, or a job is shown.
 */
export interface Health {
  project: string;
  host: string;
  state: "connecting" | "disconnected" | "idle" | "question" | "ready" | "syncing";
  text: string;
  transport: string;
  roundTripMs: number;
  queued: number;
  files: number;
  conflicts: number;
  lastSync: string;
  fix: string;
  command: string;
  transfers: Transfer[];
  inUse: boolean;
  load: string;
}

/**
 * First line that a face sends on the control socket, as JSON, ended by a newline. `face`:
 * "lsp" (the rest is LSP), "rpc" (the rest is JSON-RPC with these methods) or "dap" (the rest is
 * the Debug Adapter Protocol). `pid`: of the process whose end ends the face. `environ`: the
 * face's environment, from which configuration and the variables that jobs are to get are taken;
 * it stays in memory. Face "end" asks the hub to end, which it does unless others use it; every
 * later hub must understand this line.
 */
export interface Hello {
  version: number;
  face: "dap" | "end" | "lsp" | "rpc";
  client: string;
  pid?: number;
  cwd?: string;
  environ?: Record<string, string>;
}

/**
 * One host of a project. `inUse`: saves and runs go there; `state` and what follows it as in
 * Health.
 */
export interface HostState {
  name: string;
  ssh: string;
  path: string;
  inUse: boolean;
  state: "connecting" | "disconnected" | "idle" | "question" | "ready" | "syncing";
  text: string;
  fix: string;
  roundTripMs: number;
  files: number;
  queued: number;
  conflicts: number;
  lastSync: string;
}

/**
 * Dials nothing.
 */
export interface HostsParams {
  project?: string;
  host?: string;
}

export interface HostsResult {
  project: string;
  hosts: HostState[];
}

/**
 * Writes a host into `sidecar.local.toml` of the project that `project` is in, or of that very
 * folder. `ssh`: what one would type after `ssh`, "" asks the person; `host`: its name in the
 * configuration, "" for the machine's own; `path`: the folder there, "" for `~` and the project's
 * name; `python`: an interpreter there. `dryRun`: only say what would be written.
 */
export interface InitParams {
  project?: string;
  host?: string;
  ssh?: string;
  path?: string;
  python?: string;
  dryRun?: boolean;
}

/**
 * `file`: what was written. Nothing was sent: `sidecar/sync` does, and asks first.
 */
export interface InitResult {
  project: string;
  host: string;
  ssh: string;
  path: string;
  file: string;
}

/**
 * `data` in `encoding` ("utf-8" or "base64"). `eof`: nothing comes behind it.
 */
export interface InputParams {
  project?: string;
  host?: string;
  job?: string;
  data?: string;
  encoding?: "base64" | "utf-8";
  eof?: boolean;
}

/**
 * `name`: what `sidecar/selectInterpreter` takes. `kind`: "venv", "conda", "uv", "pyenv",
 * "poetry", "login" (`python3` of a login shell) or "system". `packages`: well-known ones with
 * their versions. `cuda`: the version that they were built for, "" for none. `lacks`: what the
 * project imports and it has not. `problem`: why it cannot run anything.
 */
export interface Interpreter {
  name: string;
  path: string;
  kind: string;
  version: string;
  packages: Record<string, string>;
  cuda: string;
  lacks: string[];
  inUse: boolean;
  problem: string;
}

/**
 * Looks for the Pythons that are there, now.
 */
export interface InterpretersParams {
  project?: string;
  host?: string;
}

/**
 * `driver`: NVIDIA's there, its version, "there" where that cannot be told, or "". `source`:
 * why the one in use is. `problem`: why none is.
 */
export interface InterpretersResult {
  host: string;
  interpreters: Interpreter[];
  driver: string;
  source: string;
  problem: string;
}

/**
 * `state`: "running", "exited", "lost" (the machine was restarted, or its supervisor killed),
 * "unknown" (a newer sidecar keeps it; `why` says so). `machine`: its name by itself, where `host`
 * is the configuration's; `elsewhere`: it runs there, and the host's name leads to another one
 * now, from which it can be looked at and not be signalled. `peakMemory`: bytes, of the largest
 * process; `dropped`: bytes of output that its log does not have any more; `left`: pids of what
 * lives on behind its end. `mine`: this laptop started it; `owner`: who did. `gpus`: numbers of
 * those that it has in use, where they were asked for. `tree`: the content digest of the
 * managed files that it ran on. `asIs`: it ran on what was there, which was not as it was here;
 * `differing`: which files, where that is known. `frozen`: it runs
 * from a copy of the code of its own. `changed`: how many managed files are
 * not what they were at its start, where it runs and is not frozen. `without`: large
 * files that were still on their way when it began.
 */
export interface Job {
  id: string;
  host: string;
  command: string;
  state: "exited" | "lost" | "running" | "unknown";
  started: string;
  exitStatus: number | null;
  signal: string;
  pid: number;
  tree: string;
  commit: string;
  dirty: number;
  interpreter: string;
  terminal: boolean;
  machine: string;
  elsewhere: boolean;
  ended: string;
  why: string;
  peakMemory: number;
  dropped: number;
  left: number[];
  mine: boolean;
  owner: string;
  gpus: number[];
  asIs: boolean;
  differing: string[];
  frozen: boolean;
  changed: number | null;
  without: string[];
}

/**
 * What is kept of one job. `cwd`: there. `variables`: names of what the run set; values are
 * kept nowhere. `packages`: of its interpreter, with versions; `cards`: GPUs that it could see, as
 * "0 NVIDIA H200"; `diff`: a patch from `job.commit` to what ran. `changed`: files that are not
 * what they were at its start, null where nobody knows.
 */
export interface JobDetails {
  job: Job;
  cwd: string;
  variables: string[];
  packages: Record<string, string>;
  cards: string[];
  diff: string;
  changed: string[] | null;
}

/**
 * `job`: an id or a unique prefix of one; "" is the newest.
 */
export interface JobParams {
  project?: string;
  host?: string;
  job?: string;
}

/**
 * `all`: also what others started there on this account. `gpus`: look which ones the jobs that
 * run have in use; may take a second.
 */
export interface JobsParams {
  project?: string;
  host?: string;
  all?: boolean;
  gpus?: boolean;
}

export interface JobsResult {
  jobs: Job[];
}

/**
 * Something that is kept. `kind`: "job" (its record and log), "cache" (what was sent there
 * once, as debugpy), "trash", "frozen" (code that a run began with), "refs" (of git, which keep
 * commits), "folder" (what else is in `.sidecar/` there), "state" (what is known here of both
 * sides). `place`: the path on its side. `only`: it may hold the only copy of something. `stays`:
 * why it is not removed, "" where it is.
 */
export interface Kept {
  side: "local" | "remote";
  kind: "cache" | "folder" | "frozen" | "job" | "refs" | "state" | "trash";
  name: string;
  place: string;
  files: number;
  bytes: number;
  only: boolean;
  stays: string;
  text: string;
}

/**
 * `cpuPercent`: of all cores, over the last moment, -1 where it is not known; `load`: the
 * average of one minute; memory in bytes, `memoryAvailable` as the kernel counts it.
 */
export interface Machine {
  name: string;
  cpus: number;
  cpuPercent: number;
  load: number;
  memoryTotal: number;
  memoryAvailable: number;
}

/**
 * Notification `sidecar/output`. JSON carries no bytes: `data` is text where all of it is
 * UTF-8, else base64. `end` is the offset to attach from, to go on behind this part.
 */
export interface Output {
  job: string;
  offset: number;
  end: number;
  stream: "stderr" | "stdout";
  data: string;
  encoding: "base64" | "utf-8";
}

/**
 * A path and what is to be said of it. `kind`: "conflict" (both sides changed it),
 * "newer-there" (only the remote did), "kept" (removed here, kept there), "deleted-there" (put
 * back), "held" (one of very many removals, or an upload that was called off; waits for a word),
 * "waiting" (more than
 * `ask_above`, waits for a word), "refused" (the remote could not take it), "unreadable" (it could
 * not be read here), "skipped" (never sent), "too-large" (more than `pull_max` there),
 * "not-pulled" (it is to come here and cannot). `here` and `there`: what both sides have, where a
 * person has to decide.
 */
export interface PathNote {
  path: string;
  kind: string;
  text: string;
  here: Version | null;
  there: Version | null;
}

/**
 * Base of requests that concern one project on one host.
 */
export interface Place {
  project?: string;
  host?: string;
}

/**
 * A way to a port there, or one that there could be. `state`: "open" (`here` listens),
 * "offered" (a job of ours listens there, and nobody here yet), "known" (the configuration names
 * it; nothing is open yet), "held" (the person's own ssh has it), "failed" (`text` says why), or
 * "closed" (in `sidecar/forwarded` alone: it is gone from the list).
 *
 * `here` and `there`: "127.0.0.1:6006", or a socket's path; `here` is "" where nothing listens.
 * `port` and `remotePort`: their numbers, 0 of a socket. `wanted`: the number that was asked for
 * here and is taken, 0 where it was to be had. `name`: what listens there ("TensorBoard"), as far
 * as its command line tells. `url`: what a browser can open, "" for what is no page. `source`:
 * "ssh" (a LocalForward), "settings", "asked", "job" (found with a running job) or
 * "service" (a server that we started). `text`: one line for people. `connections`: that
 * are open now.
 */
export interface Port {
  state: "closed" | "failed" | "held" | "known" | "offered" | "open";
  here: string;
  there: string;
  port: number;
  remotePort: number;
  wanted: number;
  name: string;
  url: string;
  source: "asked" | "job" | "service" | "settings" | "ssh";
  job: string;
  command: string;
  text: string;
  connections: number;
}

/**
 * `look`: and find out where running jobs listen, which needs a connection; without it nothing
 * is dialled.
 */
export interface PortsParams {
  project?: string;
  host?: string;
  look?: boolean;
}

/**
 * All of the host, in the order of their numbers there; of jobs all that run on that
 * account.
 */
export interface PortsResult {
  host: string;
  ports: Port[];
}

/**
 * `data` of an error response (code -32803): why a request failed. `code` is stable, for
 * programs; the rest is for people, `fix` beginning with a verb. `command`: what does the next
 * step in an editor, an argument of `workspace/executeCommand`; "" where none does.
 */
export interface Problem {
  code: string;
  what: string;
  why: string;
  fix: string;
  command: string;
}

/**
 * `paths`: absolute paths of this machine in the project, or patterns of such ("*", "?", "[]",
 * "**"); what they mean on the host is fetched, whatever its size. `prefer` "remote" replaces what
 * was changed here too; it goes to the trash here.
 */
export interface PullParams {
  project?: string;
  host?: string;
  paths: string[];
  prefer?: "" | "remote";
  dryRun?: boolean;
}

/**
 * What one pull did. `notes`: what was asked for and did not come. `plan`: for a dry run,
 * lines like "pull runs/best.pt (1.2 GB)".
 */
export interface PullResult {
  pulled: number;
  bytesReceived: number;
  seconds: number;
  notes: PathNote[];
  plan: string[];
}

/**
 * Runs what a job ran, with today's code, or with the job's own where `frozen`. `env`: values
 * for the variables that were given with the run; the rest as in RunParams.
 */
export interface RerunParams {
  project?: string;
  host?: string;
  job?: string;
  frozen?: boolean;
  env?: Record<string, string>;
  asIs?: boolean;
  detach?: boolean;
  terminal?: boolean;
  rows?: number;
  columns?: number;
  dirty?: string[];
}

export interface ResizeParams {
  project?: string;
  host?: string;
  job?: string;
  rows: number;
  columns: number;
}

/**
 * `paths`: absolute, of files, of folders with what is below them, or with `*`, `?`, `[…]`;
 * `all`: every conflict. `keep` "both": theirs comes beside mine, under another name.
 */
export interface ResolveParams {
  project?: string;
  host?: string;
  keep: "both" | "local" | "remote";
  paths?: string[];
  all?: boolean;
  dryRun?: boolean;
}

/**
 * `done`: what was settled (or would be), `text` saying how; `left`: what was not, and why.
 */
export interface ResolveResult {
  done: PathNote[];
  left: PathNote[];
}

/**
 * `target`: a `.py` file (absolute, or relative to `cwd`), a test of one as pytest names it
 * ("tests/test_x.py::test_y"), a program's name, or a module's name where `module` is set. `cwd`:
 * absolute, here; "" is the project's root. `asIs`: run what is there, whatever differs.
 * `terminal`: give it a PTY of that size. `dirty`: paths with unsaved changes, so that the answer
 * can say so. `first` and `last`: only these lines of the file, from 1, as a cell; as the client
 * shows them where it has the file open, else as they are saved. `recall`: without `args`, those
 * that the target was last run with so; `args` are remembered, and ["--"] forgets them.
 * `asShell`: a person's shell, which may run on a login node, too. `frozen`: run from a copy of
 * the code, which later saves do not change; null as `hosts.X.freeze` says. `gpus`: give it so
 * many GPUs that are free, by CUDA_VISIBLE_DEVICES; `busy`: the freest ones, be they in use.
 */
export interface RunParams {
  project?: string;
  host?: string;
  target: string;
  args?: string[];
  module?: boolean;
  cwd?: string;
  env?: Record<string, string>;
  asIs?: boolean;
  detach?: boolean;
  terminal?: boolean;
  rows?: number;
  columns?: number;
  dirty?: string[];
  first?: number;
  last?: number;
  recall?: boolean;
  asShell?: boolean;
  frozen?: boolean | null;
  gpus?: number;
  busy?: boolean;
}

/**
 * The job runs. Its output follows as `sidecar/output`, unless `detach` was asked for.
 * `headline`: one line that says where and with what it runs. `before`: what runs there from
 * earlier sessions, for the first run of one. `warning`: why the job will not outlive the login
 * session there. `args`: that it runs with, given or recalled. `folders`: what the program calls
 * the project's files; `cwd`: where it runs there; `links`: the person wants places in its output
 * to lead to the files here.
 * `differences`: of `sidecar/rerun`, in lines: how code and environment differ from the job's.
 */
export interface RunResult {
  job: string;
  host: string;
  pid: number;
  interpreter: string;
  headline: string;
  args: string[];
  before: string;
  warning: string;
  folders: Folder[];
  cwd: string;
  links: boolean;
  differences: string[];
}

/**
 * Saves and runs go to `host` from here on; "" asks. It is written to `sidecar.local.toml`, and
 * all clients of the project follow. `connect`: and is dialled now.
 */
export interface SelectHostParams {
  project?: string;
  host?: string;
  connect?: boolean;
}

export interface SelectHostResult {
  host: string;
}

/**
 * `name`: as listed, a path there, or "conda:NAME"; "" asks the person. It is written to
 * `sidecar.local.toml`.
 */
export interface SelectInterpreterParams {
  project?: string;
  host?: string;
  name?: string;
}

/**
 * `python`: as the configuration has it now.
 */
export interface SelectInterpreterResult {
  host: string;
  python: string;
  path: string;
  version: string;
}

/**
 * Starts a server there as a job, with the project's interpreter, in `cwd` (absolute, here; ""
 * is the project's root), and opens a way to it that nobody else there can go. One that was
 * started so before, with the same arguments, and runs is shown instead. `args`: its own; of
 * TensorBoard, a first one without a dash is the folder of the logs. `port`: the number wanted
 * here, 0 for the usual one. `detach`: no output is to follow.
 */
export interface ServiceParams {
  project?: string;
  host?: string;
  service: "jupyter" | "tensorboard";
  args?: string[];
  cwd?: string;
  port?: number;
  detach?: boolean;
}

/**
 * `url` leads there, with the token where the server asks for one. `new`: it was started by
 * this, and `run` says how.
 */
export interface ServiceResult {
  url: string;
  port: Port;
  job: string;
  new: boolean;
  run: RunResult | null;
}

/**
 * `signal`: "INT", "TERM", "KILL", …, or "stop": INT, then TERM, then KILL. `all`: also to what
 * others started there on this account.
 */
export interface SignalParams {
  project?: string;
  host?: string;
  job?: string;
  signal?: string;
  all?: boolean;
}

/**
 * What one rule keeps out: files and folders that were counted, and their bytes. `more`: there
 * are others that were not, since counting took too long.
 */
export interface Skipped {
  rule: string;
  source: string;
  entries: number;
  bytes: number;
  more: boolean;
}

/**
 * Dials nothing.
 */
export interface SshHostsParams {
}

/**
 * `hosts`: names of the person's own ssh configuration, without patterns.
 */
export interface SshHostsResult {
  hosts: string[];
}

/**
 * All projects that the hub holds where `project` is ""; else that one, without dialling.
 * `skipped`: also say what the rules keep out of it, which takes up to some seconds. `load`: look
 * how busy the machines are that are connected, for at most a second.
 */
export interface StatusParams {
  project?: string;
  host?: string;
  skipped?: boolean;
  load?: boolean;
}

/**
 * `notes`: conflicts and what else needs a person, for the project asked about.
 */
export interface StatusResult {
  hubPid: number;
  version: string;
  sessions: Health[];
  notes: PathNote[];
  skipped: Skipped[];
}

/**
 * `prefer` decides first contact and conflicts in this one sync; "" asks. `takeOver`: the
 * folder there, which another sidecar keeps in step by now, is ours again. `yes`: what is more
 * than `ask_above` may be sent.
 */
export interface SyncParams {
  project?: string;
  host?: string;
  prefer?: "" | "local" | "newer" | "remote";
  dryRun?: boolean;
  paths?: string[];
  takeOver?: boolean;
  yes?: boolean;
}

/**
 * What one sync did; `bytesSent` counts frames of this project as they went out. `taken`:
 * files and links that came here. `plan`: for a dry run, lines like "push model.py"; `summary`:
 * how both sides compare, where it would be their first contact. `skipped`: on a first sync, what
 * the rules keep out.
 */
export interface SyncResult {
  sent: number;
  removed: number;
  bytesSent: number;
  seconds: number;
  notes: PathNote[];
  plan: string[];
  taken: number;
  summary: string;
  skipped: Skipped[];
}

/**
 * Notification `sidecar/synced`: these paths are visible on the host as they are here.
 */
export interface Synced {
  project: string;
  host: string;
  paths: string[];
  bytesSent: number;
  milliseconds: number;
}

/**
 * A large file on its way: `done` of its `total` bytes are dealt with, sent or found there.
 */
export interface Transfer {
  path: string;
  done: number;
  total: number;
}

/**
 * `paths`: absolute; only copies of these and of what is below them. Newest first. `side`: only
 * what lies there; "local" needs no connection.
 */
export interface TrashParams {
  project?: string;
  host?: string;
  paths?: string[];
  limit?: number;
  side?: "" | "local" | "remote";
}

/**
 * `more`: there are others that are not listed. `unreachable`: why only what lies here is
 * told; "" where all is.
 */
export interface TrashResult {
  copies: Copy[];
  more: boolean;
  unreachable: string;
}

/**
 * `accept` false: only say what would be trusted, or with `ask`, ask the person. `settings`:
 * those that the person was shown (`asks` of an earlier answer); only they are trusted, so that
 * what a file says by now is not. Empty: all that wait.
 */
export interface TrustParams {
  project?: string;
  host?: string;
  accept?: boolean;
  ask?: boolean;
  settings?: string[];
}

/**
 * `asks`: the settings of the shared file that count only after trust, as "key = value".
 */
export interface TrustResult {
  trusted: boolean;
  asks: string[];
}

/**
 * Brings copies back, by `ids` or their beginnings, and the newest of each of `paths`
 * (absolute). What they replace goes to the trash of that side.
 */
export interface UndoParams {
  project?: string;
  host?: string;
  ids?: string[];
  paths?: string[];
  side?: "" | "local" | "remote";
  dryRun?: boolean;
}

/**
 * `notes`: what is to be decided of these paths from here on. `unreachable`: why what is back
 * here goes there only with the next connection; "" where it went.
 */
export interface UndoResult {
  restored: Copy[];
  notes: PathNote[];
  unreachable: string;
}

/**
 * What is at a path on one side. `changed`: when, ISO 8601 in UTC, by this machine's clock;
 * `by`: the user there whose file it is.
 */
export interface Version {
  kind: "file" | "folder" | "link" | "nothing" | "other";
  size: number;
  changed: string;
  by: string;
}

/**
 * The hub's answer, in the same form. `problem`: why it will not talk, empty if it will.
 */
export interface Welcome {
  version: number;
  sidecar: string;
  pid: number;
  problem: string;
}

/**
 * `path`: absolute; nothing needs to be there.
 */
export interface WhyParams {
  project?: string;
  host?: string;
  path: string;
}

/**
 * Why a path is synced or not. `rule` and `source`: what decided ("*.log", ".gitignore:3"), ""
 * where no rule did; `managed`: both sides agreed on it once; `next`: what the next sync would
 * do; `note`: what is to be decided about it; `pulled`: the pattern by which it comes from there.
 */
export interface WhyResult {
  path: string;
  here: Version;
  synced: boolean;
  rule: string;
  source: string;
  managed: boolean;
  next: string;
  note: PathNote | null;
  pulled: string;
}

export interface Requests {
  'sidecar/run': { params: RunParams; result: RunResult };
  'sidecar/arguments': { params: ArgumentsParams; result: ArgumentsResult };
  'sidecar/input': { params: InputParams; result: Empty };
  'sidecar/resize': { params: ResizeParams; result: Empty };
  'sidecar/signal': { params: SignalParams; result: Empty };
  'sidecar/rerun': { params: RerunParams; result: RunResult };
  'sidecar/job': { params: JobParams; result: JobDetails };
  'sidecar/jobs': { params: JobsParams; result: JobsResult };
  'sidecar/attach': { params: AttachParams; result: AttachResult };
  'sidecar/interpreters': { params: InterpretersParams; result: InterpretersResult };
  'sidecar/selectInterpreter': { params: SelectInterpreterParams; result: SelectInterpreterResult };
  'sidecar/quit': { params: Place; result: Empty };
  'sidecar/debug': { params: DebugParams; result: DebugResult };
  'sidecar/debugFailure': { params: DebugFailureParams; result: DebugResult };
  'sidecar/sync': { params: SyncParams; result: SyncResult };
  'sidecar/pull': { params: PullParams; result: PullResult };
  'sidecar/status': { params: StatusParams; result: StatusResult };
  'sidecar/hosts': { params: HostsParams; result: HostsResult };
  'sidecar/selectHost': { params: SelectHostParams; result: SelectHostResult };
  'sidecar/sshHosts': { params: SshHostsParams; result: SshHostsResult };
  'sidecar/init': { params: InitParams; result: InitResult };
  'sidecar/trust': { params: TrustParams; result: TrustResult };
  'sidecar/doctor': { params: DoctorParams; result: DoctorResult };
  'sidecar/agentSource': { params: AgentSourceParams; result: AgentSourceResult };
  'sidecar/conflicts': { params: ConflictsParams; result: ConflictsResult };
  'sidecar/diff': { params: DiffParams; result: DiffResult };
  'sidecar/resolve': { params: ResolveParams; result: ResolveResult };
  'sidecar/trash': { params: TrashParams; result: TrashResult };
  'sidecar/undo': { params: UndoParams; result: UndoResult };
  'sidecar/why': { params: WhyParams; result: WhyResult };
  'sidecar/git': { params: GitParams; result: GitResult };
  'sidecar/forward': { params: ForwardParams; result: ForwardResult };
  'sidecar/ports': { params: PortsParams; result: PortsResult };
  'sidecar/service': { params: ServiceParams; result: ServiceResult };
  'sidecar/gpus': { params: GpusParams; result: GpusResult };
  'sidecar/clean': { params: CleanParams; result: CleanResult };
}

export interface Notifications {
  'sidecar/output': { params: Output };
  'sidecar/exited': { params: Exited };
  'sidecar/synced': { params: Synced };
  'sidecar/didChangeStatus': { params: Health };
  'sidecar/debugEnded': { params: DebugEnded };
  'sidecar/forwarded': { params: Forwarded };
  'sidecar/finding': { params: Finding };
}

export interface ClientRequests {
  'sidecar/askSecret': { params: AskSecretParams; result: AskSecretResult };
}
