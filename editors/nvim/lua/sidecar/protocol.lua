---@meta
-- A mirror of sidecar/api.py, as far as this plugin uses it. Described in protocol/methods.md.

---@class sidecar.Problem
---@field code string
---@field what string
---@field why string
---@field fix string

---@class sidecar.ResponseError
---@field code integer
---@field message string
---@field data sidecar.Problem?

---@class sidecar.Version
---@field kind 'nothing'|'file'|'folder'|'link'|'other'
---@field size integer
---@field changed string
---@field by string

---@class sidecar.PathNote
---@field path string
---@field kind string
---@field text string
---@field here sidecar.Version?
---@field there sidecar.Version?

---@class sidecar.DiffResult
---@field path string
---@field text string
---@field binary boolean
---@field why string

---@class sidecar.SyncResult
---@field sent integer
---@field removed integer
---@field bytesSent integer
---@field seconds number
---@field notes sidecar.PathNote[]
---@field plan string[]

---@class sidecar.Synced
---@field project string
---@field host string
---@field paths string[]
---@field bytesSent integer
---@field milliseconds number

---@class sidecar.RunParams
---@field project string?
---@field host string?
---@field target string
---@field args string[]?
---@field module boolean?
---@field cwd string?
---@field terminal boolean?
---@field rows integer?
---@field columns integer?
---@field first integer?
---@field last integer?
---@field recall boolean?

---@class sidecar.RunResult
---@field job string
---@field host string
---@field pid integer
---@field interpreter string
---@field headline string
---@field args string[]

---@class sidecar.ArgumentsParams
---@field target string
---@field module boolean?
---@field cwd string?
---@field args string[]?

---@class sidecar.ArgumentsResult
---@field target string
---@field args string[]

---@class sidecar.Output
---@field job string
---@field offset integer
---@field end integer
---@field stream 'stdout'|'stderr'
---@field data string
---@field encoding 'utf-8'|'base64'

---@class sidecar.Frame
---@field path string
---@field line integer
---@field name string
---@field local boolean

---@class sidecar.Failure
---@field error string
---@field message string
---@field frames sidecar.Frame[]
---@field kind ''|'chained'|'inside'|'ignored'
---@field test string

---@class sidecar.Exited
---@field job string
---@field host string
---@field status integer
---@field signal string
---@field why string
---@field error string
---@field frames sidecar.Frame[]
---@field failures sidecar.Failure[]
---@field advice string

---@class sidecar.Job
---@field id string
---@field host string
---@field command string
---@field state 'running'|'exited'|'lost'
---@field started string
---@field exitStatus integer?
---@field signal string

---@class sidecar.JobsResult
---@field jobs sidecar.Job[]

---@class sidecar.DebugParams
---@field target string
---@field args string[]?
---@field module boolean?
---@field cwd string?
---@field env table<string, string>?
---@field stopOnEntry boolean?
---@field justMyCode boolean?
---@field recall boolean?

---@class sidecar.DebugResult
---@field host string
---@field port integer
---@field configuration table<string, string|integer|boolean>

---@class sidecar.DebugEnded
---@field port integer
---@field why string

---@class sidecar.Health
---@field project string
---@field host string
---@field state 'idle'|'connecting'|'ready'|'syncing'|'question'|'disconnected'
---@field text string
---@field queued integer
---@field conflicts integer
---@field fix string
---@field inUse boolean

---@class sidecar.HostState
---@field name string
---@field inUse boolean
---@field state string
---@field text string
---@field roundTripMs number

---@class sidecar.HostsResult
---@field hosts sidecar.HostState[]

---@class sidecar.Interpreter
---@field name string
---@field path string
---@field kind string
---@field version string
---@field packages table<string, string>
---@field cuda string
---@field lacks string[]
---@field inUse boolean
---@field problem string

---@class sidecar.InterpretersResult
---@field host string
---@field interpreters sidecar.Interpreter[]
---@field driver string
---@field source string
---@field problem string

---@class sidecar.SelectInterpreterResult
---@field host string
---@field python string
---@field path string
---@field version string

---@class sidecar.SelectHostResult
---@field host string

---@class sidecar.StatusResult
---@field version string
---@field sessions sidecar.Health[]
---@field notes sidecar.PathNote[]

---@class sidecar.AskSecretParams
---@field host string
---@field prompt string
---@field echo boolean
---@field problem string

---@class sidecar.AskSecretResult
---@field value string|vim.NIL
