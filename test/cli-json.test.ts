/** What goes to stdout and what to stderr: --json, --quiet, --verbose, --debug, progress, closed pipes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { oneLine, safeText } from '../src/cli/safe-text.js'
import { FIXTURES, PROJECT } from './support/paths.js'
import { runCli, runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

type Event = Record<string, unknown> & { event: string }

function eventsOf(stdout: string): Event[] {
  assert.ok(stdout.endsWith('\n'))
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Event)
}

describe('--json', () => {
  it('puts plan, progress and result on stdout, one JSON object a line, and nothing on stderr', async (t) => {
    const home = workspace(t)
    const { stdout, stderr } = await runCliOk('lora-merge', [BASE, ADAPTER, 'x.gguf', '--json', '--hash', '-t', '2'], { cwd: home })
    assert.equal(stderr, '')
    const events = eventsOf(stdout)
    const kinds = events.map(({ event }) => event)
    assert.deepEqual([kinds[0], kinds.at(-1)], ['plan', 'result'])
    assert.deepEqual([...new Set(kinds.slice(1, -1))], ['progress'])
    const progress = events.filter(({ event }) => event === 'progress')
    for (const { doneBytes, totalBytes, phase, current } of progress) {
      assert.ok(Number(doneBytes) >= 0 && Number(doneBytes) <= Number(totalBytes))
      assert.ok(['write', 'hash', 'finish'].includes(String(phase)))
      assert.equal(typeof current, 'string')
    }
    assert.ok(
      progress.some(({ phase, doneBytes, totalBytes }) => phase === 'write' && doneBytes === totalBytes),
      'all of it is reported',
    )
    const result = events.at(-1)
    const sha256 = createHash('sha256')
      .update(readFileSync(join(home, 'x.gguf')))
      .digest('hex')
    assert.deepEqual(result?.['hashes'], { 'x.gguf': sha256 })
    assert.deepEqual(
      (result['files'] as string[]).map((path) => path.split(/[/\\]/).at(-1) ?? '').sort((a, b) => (a < b ? -1 : 1)),
      ['Modelfile', 'x.gguf', 'x.gguf.receipt.json'],
    )
    assert.ok(Number(result['seconds']) > 0 && Number(result['peakBytes']) > 1e7)
    const receipt = JSON.parse(readFileSync(join(home, 'x.gguf.receipt.json'), 'utf8')) as { outputs: { sha256: string }[] }
    assert.equal(receipt.outputs[0]?.sha256, sha256)
  })

  it('names the rule of the format that a broken file breaks', async (t) => {
    const home = workspace(t)
    writeFileSync(join(home, 'model.safetensors'), Buffer.from('\u0002\0\0\0\0\0\0\0{}x'))
    const { code, stdout } = await runCli('lora-to-gguf', ['inspect', 'model.safetensors', '--json'], { cwd: home })
    const [event] = eventsOf(stdout)
    assert.deepEqual([code, event?.event, event?.['code'], event?.['rule']], [3, 'error', 'E_FORMAT', 'ST15'])
  })

  it('tells an error as an event too, with file, tensor and offset where they are known', async (t) => {
    const home = workspace(t)
    const cases: readonly [readonly string[], Partial<Event>][] = [
      [[BASE, ADAPTER, '--json'], { code: 'E_USAGE', exitCode: 2 }],
      [[BASE, ADAPTER, 'x.gguf', '--json', '--bogus'], { code: 'E_USAGE', exitCode: 2 }],
      [[BASE, join(home, 'missing'), 'x', '--json'], { code: 'E_FILE_SYSTEM', exitCode: 5, file: join(home, 'missing') }],
      [[join(home, 'cut.safetensors'), ADAPTER, 'x', '--json'], { code: 'E_FORMAT', exitCode: 3, file: join(home, 'cut.safetensors'), offset: 8 }],
      [[join(home, 'nan.safetensors'), ADAPTER, 'x', '--json'], { code: 'E_FORMAT', exitCode: 3, file: join(home, 'nan.safetensors'), tensor: 'w' }],
    ]
    writeFileSync(join(home, 'cut.safetensors'), Buffer.from('ff00000000000000', 'hex'))
    const header = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}'
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    writeFileSync(join(home, 'nan.safetensors'), Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)]))
    for (const [args, wanted] of cases) {
      const { code, stdout, stderr } = await runCli('lora-merge', args, { cwd: home })
      assert.equal(code, wanted['exitCode'], stderr)
      const [error, ...more] = eventsOf(stdout)
      assert.deepEqual(more, [])
      assert.equal(error?.event, 'error')
      for (const [key, value] of Object.entries(wanted)) assert.equal(error[key], value, `${key} of ${JSON.stringify(error)}`)
      assert.match(stderr, /^error: [^\n]+\n$/)
      assert.equal(stderr, `error: ${String(error['message'])}\n`)
    }
  })
})

describe('stdout and stderr without --json', () => {
  it('gives a summary and the line to type next on stdout, progress on stderr', async (t) => {
    const home = workspace(t)
    const { stdout, stderr } = await runCliOk('lora-merge', [BASE, ADAPTER, 'ship log.gguf', '--outtype', 'q8_0', '--hash'], { cwd: home })
    assert.match(stdout, /^wrote ship log\.gguf: 38 tensors, 2\.71 MB, \d+\.\d s, peak memory \d+(?:\.\d+)? MB$/m)
    assert.match(stdout, /^ {2}changed 28 of 38 tensors, by \d+ % to \d+ % of their norm$/m)
    assert.match(stdout, /^ {2}sha256 [0-9a-f]{64} {2}ship log\.gguf$/m)
    assert.match(stdout, /^next: ollama create ship-log -f Modelfile\n$/m)
    assert.match(stderr, /^writing 100 % \(2\.69 MB of 2\.69 MB\)$/m)
    for (const line of stderr.trimEnd().split('\n')) assert.match(line, /^(?:writing|hashing) \d+ % \(\S+ \S+ of \S+ \S+\)$/)
    assert.ok(stderr.split('\n').length <= 22, 'at most a line every 10 %')
  })

  it('--quiet says nothing at all when all is well, and still says errors', async (t) => {
    const home = workspace(t)
    const { stdout, stderr } = await runCliOk('lora-merge', [BASE, ADAPTER, 'out', '--quiet', '--hash'], { cwd: home })
    assert.deepEqual([stdout, stderr], ['', ''])
    assert.match((await runCli('lora-merge', [BASE, ADAPTER, 'out', '--quiet'], { cwd: home })).stderr, /^error: out: is not empty/)
  })

  it('--verbose lists every tensor with what it is made of', async (t) => {
    const { stdout } = await runCliOk('lora-merge', [BASE, ADAPTER, 'x.safetensors', '--verbose'], { cwd: workspace(t) })
    assert.equal(stdout.match(/^ {2}model\.\S+ {2}BF16 \[\d+(?:, \d+)?\] \d+ bytes {2}<- model\./gm)?.length, 38)
  })

  it('--debug adds the stack of an error, and nothing else does', async () => {
    const args = ['inspect', '/no/such/path']
    assert.doesNotMatch((await runCli('lora-to-gguf', args)).stderr, /^ {4}at /m)
    const { code, stderr } = await runCli('lora-to-gguf', [...args, '--debug'])
    assert.equal(code, 5)
    assert.match(stderr, /^error: [^\n]+\n(?:.*\n)*? {4}at /)
  })
})

describe('a closed pipe', () => {
  /** Runs a command whose reader goes away after the first bytes. */
  function runWithDeafReader(args: readonly string[], cwd: string, deaf: 'stdout' | 'stderr'): Promise<{ code: number | null; other: string }> {
    const child = spawn(process.execPath, [join(PROJECT, 'bin', 'lora-merge.js'), ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let other = ''
    child[deaf === 'stdout' ? 'stderr' : 'stdout'].on('data', (data: Buffer) => (other += data.toString()))
    if (deaf === 'stdout') child.stdout.once('data', () => child.stdout.destroy())
    else child.stderr.destroy()
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, other })))
  }

  it('does not crash a dry run (… --dry-run | head)', async (t) => {
    assert.deepEqual(await runWithDeafReader([BASE, ADAPTER, 'x.gguf', '--dry-run'], workspace(t), 'stdout'), { code: 0, other: '' })
  })

  it('does not stop a run that is under way', async (t) => {
    const home = workspace(t)
    assert.deepEqual(await runWithDeafReader([BASE, ADAPTER, 'x.gguf', '--json', '--hash'], home, 'stdout'), { code: 0, other: '' })
    assert.ok(readFileSync(join(home, 'x.gguf')).byteLength > 5e6)
    const { code, other } = await runWithDeafReader([BASE, ADAPTER, 'y.gguf'], home, 'stderr')
    assert.equal(code, 0)
    assert.match(other, /^wrote y\.gguf/)
  })
})

describe('text for a terminal', () => {
  it('shows control characters, marks of direction and broken pairs as \\uXXXX, and leaves letters alone', () => {
    assert.equal(safeText('a\u001b[31mb\r\n\t\u202e\u0085\ud800'), 'a\\u001b[31mb\\u000d\\u000a\\u0009\\u202e\\u0085\\ud800')
    assert.equal(safeText('Füße 模型 😀 “x”'), 'Füße 模型 😀 “x”')
  })

  it('makes one line, and cuts the middle out of an endless one', () => {
    assert.equal(oneLine(' a\n  b\r\nc '), 'a b c')
    const line = oneLine(`start${'x'.repeat(10_000)}end`)
    assert.ok(line.length <= 590 && line.startsWith('start') && line.endsWith('end'))
  })
})
