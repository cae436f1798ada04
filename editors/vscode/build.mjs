// Bundles the extension, or its tests, into dist/.
import { build } from 'esbuild'
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs'

const tests = process.argv.includes('--tests')
const production = process.argv.includes('--production')

if (production) {
  // A package carries its licence; the file is the repository's. The wheel carries the package.
  copyFileSync('../../LICENSE', 'LICENSE')
  mkdirSync('../../sidecar/editors/vscode', { recursive: true })
}

await build({
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['vscode'],
  logLevel: 'warning',
  ...(tests
    ? {
        entryPoints: readdirSync('test').filter((name) => name.endsWith('.test.ts')).map((name) => `test/${name}`),
        outdir: 'dist/test',
      }
    : {
        entryPoints: ['src/extension.ts'],
        outfile: 'dist/extension.js',
        minify: production,
        sourcemap: !production,
      }),
})
