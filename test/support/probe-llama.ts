/** Has llama.cpp load GGUF files and evaluate tokens: scripts/probe-llama.mjs, many files per process; one that makes it abort or hang costs a new process, not the test. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { HANG_MS } from './hang.js'
import { PROJECT } from './paths.js'

export type Probe = { readonly ok: true; readonly outputs: number } | { readonly ok: false; readonly why: string }

/** file -> whether every output was finite; what llama.cpp said where it did not come to that. */
export async function probeAll(files: readonly string[]): Promise<ReadonlyMap<string, Probe>> {
  const results = new Map<string, Probe>()
  for (let rest = files; rest.length > 0; rest = files.filter((file) => !results.has(file))) {
    const { lines, stderr, exit } = await run(rest)
    for (const line of lines) results.set(line.file, line.ok ? { ok: true, outputs: line.outputs } : { ok: false, why: line.why })
    const [crashed] = rest.filter((file) => !results.has(file))
    if (crashed !== undefined) results.set(crashed, { ok: false, why: `aborts (${exit}): ${assertionIn(stderr)}` })
  }
  return results
}

type Line = { readonly file: string } & Probe

function run(files: readonly string[]): Promise<{ lines: Line[]; stderr: string; exit: string }> {
  const child = spawn(process.execPath, [join(PROJECT, 'scripts', 'probe-llama.mjs')], { cwd: PROJECT, stdio: ['pipe', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.on('error', () => {}) // the child may be dead before it has read its input
  child.stdin.end(JSON.stringify(files))
  let watch = setTimeout(() => child.kill('SIGKILL'), HANG_MS)
  child.stdout.on('data', () => {
    clearTimeout(watch)
    watch = setTimeout(() => child.kill('SIGKILL'), HANG_MS)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(watch)
      const lines = stdout
        .split('\n')
        .filter((line) => line.startsWith('{"file"') && line.endsWith('}'))
        .map((line) => JSON.parse(line) as Line)
      resolve({ lines, stderr, exit: String(code ?? signal) })
    })
  })
}

function assertionIn(stderr: string): string {
  const lines = stderr.split('\n')
  return lines.find((line) => line.includes('GGML_ASSERT') || line.includes('error')) ?? lines.at(-2) ?? ''
}
