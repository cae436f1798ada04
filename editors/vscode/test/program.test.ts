import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'node:test'

import { find, isRecent, own, type Place } from '../src/program'

function program(path: string, said: string): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `#!/bin/sh\necho "${said}"\n`)
  chmodSync(path, 0o755)
  return path
}

function world(): Place & { root: string } {
  const root = mkdtempSync(join(tmpdir(), 'sidecar-'))
  process.env.HOME = root
  return { root, setting: '', storage: join(root, 'storage'), projects: [], environment: { PATH: join(root, 'bin') } }
}

test('the setting comes before the PATH, and that before our own', async () => {
  const place = world()
  assert.deepEqual(await find(place), { kind: 'missing' })
  const ours = program(own(place.storage), 'sidecar 0.3.0')
  assert.deepEqual(await find(place), { kind: 'found', path: ours, version: '0.3.0' })
  const path = program(join(place.root, 'bin', 'sidecar'), 'sidecar 0.2.0')
  assert.deepEqual(await find(place), { kind: 'found', path, version: '0.2.0' })
  const setting = program(join(place.root, 'mine'), 'sidecar 0.4.0')
  assert.deepEqual(await find({ ...place, setting }), { kind: 'found', path: setting, version: '0.4.0' })
})

test("what the project's environment has is not taken", async () => {
  const place = world()
  const environment = join(place.root, 'project', '.venv')
  program(join(environment, 'bin', 'sidecar'), 'sidecar 9.0.0')
  const path = { PATH: join(environment, 'bin') }
  assert.deepEqual(await find({ ...place, environment: { ...path, VIRTUAL_ENV: environment } }), { kind: 'missing' })
  const projects = [join(place.root, 'project')]
  assert.deepEqual(await find({ ...place, projects, environment: path }), { kind: 'missing' })
})

test('one that is too old, or another program, is told of', async () => {
  const place = world()
  program(join(place.root, 'bin', 'sidecar'), 'sidecar 0.0.9')
  const found = await find(place)
  assert.ok(found.kind === 'unusable' && found.why.includes('0.0.9'))
  program(join(place.root, 'bin', 'sidecar'), 'a widget')
  const other = await find(place)
  assert.ok(other.kind === 'unusable' && other.why.includes('another program'))
})

test('versions are compared by their numbers', () => {
  assert.ok(isRecent('0.10.0', '0.9.9'))
  assert.ok(isRecent('1.0', '1.0.0'))
  assert.ok(isRecent('0.1.0.dev3', '0.1.0'))
  assert.ok(!isRecent('0.9.9', '0.10'))
})
