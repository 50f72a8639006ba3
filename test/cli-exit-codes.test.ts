/** One run of the real commands for each exit code, and the two signals. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { encodeHeader } from '../src/formats/safetensors/header-writer.js'
import { HANG_MS } from './support/hang.js'
import { FIXTURES, PROJECT } from './support/paths.js'
import { runCli, runCliOk, type Command } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

/** Runs a command that must fail with one line, and leave the folder as it was. */
async function fails(command: Command, args: readonly string[], cwd: string, wanted: number, pattern: RegExp): Promise<void> {
  const names = readdirSync(cwd)
  const { code, stdout, stderr } = await runCli(command, args, { cwd })
  assert.equal(code, wanted, stderr)
  assert.equal(stdout, '')
  assert.match(stderr, /^error: [^\n]{1,590}\n$/)
  // oxlint-disable-next-line no-control-regex -- none may be there
  assert.doesNotMatch(stderr.trimEnd(), /[\u0000-\u001f\u007f-\u009f]/)
  assert.match(stderr, pattern)
  assert.deepEqual(readdirSync(cwd), names)
}

/** The base with some lines of its config changed. */
function changedBase(home: string, change: Record<string, unknown>): string {
  cpSync(BASE, join(home, 'base'), { recursive: true })
  const path = join(home, 'base', 'config.json')
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...change }))
  return 'base'
}

describe('exit codes', () => {
  it('0: it worked', async (t) => {
    const home = workspace(t)
    await runCliOk('lora-merge', [BASE, ADAPTER, 'x.gguf', '--quiet'], { cwd: home })
    assert.ok(readdirSync(home).includes('x.gguf'))
  })

  it('2: typed wrongly', async (t) => fails('lora-merge', [BASE, ADAPTER], workspace(t), 2, /OUT is missing/))

  it('3: an input breaks its format', async (t) => {
    const home = workspace(t)
    cpSync(BASE, join(home, 'base'), { recursive: true })
    const shard = join(home, 'base', 'model-00002-of-00002.safetensors')
    writeFileSync(shard, readFileSync(shard).subarray(0, -100))
    await fails('lora-merge', ['base', ADAPTER, 'x'], home, 3, /^error: base\/model-00002-of-00002\.safetensors/)
  })

  it('4: valid, but not supported', async (t) => {
    const home = workspace(t)
    await fails(
      'to-gguf',
      [changedBase(home, { architectures: ['WhisperForConditionalGeneration'] }), '-o', 'x.gguf'],
      home,
      4,
      /WhisperForConditionalGeneration/,
    )
  })

  it('5: the file system', async (t) => {
    const home = workspace(t)
    await fails('lora-merge', [BASE, 'no-such-adapter', 'x'], home, 5, /^error: no-such-adapter: .*ENOENT/)
  })

  it('6: adapter and base do not fit', async (t) => {
    const home = workspace(t)
    writeModel(join(home, 'narrow'), 1)
    cpSync(ADAPTER, join(home, 'adapter'), { recursive: true })
    await fails('lora-merge', ['narrow', 'adapter', 'x'], home, 6, /^error: adapter\/adapter_model\.safetensors: tensor "[^"]*layers\.1\./)
  })

  it('6: NaN in an adapter', async (t) => {
    const home = workspace(t)
    cpSync(ADAPTER, join(home, 'adapter'), { recursive: true })
    const path = join(home, 'adapter', 'adapter_model.safetensors')
    const bytes = readFileSync(path)
    bytes.writeUInt32LE(0x7fc00000, bytes.length - 4)
    writeFileSync(path, bytes)
    await fails('lora-merge', [BASE, 'adapter', 'x.gguf', '--quiet'], home, 6, /adapter_model\.safetensors: tensor ".*NaN/)
  })
})

describe('signals', { skip: process.platform === 'win32' ? 'Windows has none' : false }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'signals-'))
  before(() => writeModel(join(folder, 'big'), 100)) // 120 MB, so that there is time to send a signal
  after(() => rmSync(folder, { recursive: true, force: true }))

  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    for (const [what, command, args] of [
      ['a GGUF', 'to-gguf', ['big', '-o', 'out/x.gguf', '--outtype', 'iq4_nl']],
      ['a folder', 'lora-merge', ['big', ADAPTER, 'out', '--dtype', 'f32', '-t', '1']],
    ] as const) {
      it(`${code}: ${signal} while ${what} is written ends it within a second and leaves nothing`, async () => {
        const { ended, stderr, milliseconds, temporaries } = await interrupted(command, args, folder, signal)
        assert.equal(ended, code, stderr)
        assert.match(stderr, /^error: stopped[^\n]*nothing was left behind\.\n$/)
        assert.ok(temporaries.length > 0, 'the signal came while files were being written')
        assert.deepEqual(readdirSync(folder), ['big'])
        assert.ok(milliseconds < HANG_MS, `${milliseconds} ms`) // within a second when the machine is not busy: check_crash.mjs and by hand
      })
    }
  }

  it('an old output is whole after an interrupted run with --force', async () => {
    mkdirSync(join(folder, 'out'))
    writeFileSync(join(folder, 'out', 'x.gguf'), 'old')
    try {
      const { ended } = await interrupted('to-gguf', ['big', '-o', 'out/x.gguf', '--outtype', 'q8_0', '--force'], folder, 'SIGINT')
      assert.equal(ended, 130)
      assert.deepEqual(readdirSync(join(folder, 'out')), ['x.gguf'])
      assert.equal(readFileSync(join(folder, 'out', 'x.gguf'), 'utf8'), 'old')
    } finally {
      rmSync(join(folder, 'out'), { recursive: true })
    }
  })
})

/** Starts a command, sends the signal at its first progress, and looks at what it had begun. */
function interrupted(
  command: Command,
  args: readonly string[],
  cwd: string,
  signal: NodeJS.Signals,
): Promise<{ ended: number | null; stderr: string; milliseconds: number; temporaries: string[] }> {
  const child = spawn(process.execPath, [join(PROJECT, 'bin', `${command}.js`), ...args, '--json'], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stderr, stdout, sent] = ['', '', 0]
  let temporaries: string[] = []
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString()
    if (sent > 0 || !stdout.includes('"progress"')) return
    temporaries = readdirSync(join(cwd, 'out')).filter((name) => name.endsWith('.tmp'))
    sent = performance.now()
    child.kill(signal)
  })
  return new Promise((resolve) => child.on('close', (ended) => resolve({ ended, stderr, milliseconds: performance.now() - sent, temporaries })))
}

/** tiny-story with another number of layers, all weights the same small number. */
function writeModel(path: string, layers: number): void {
  const shapes: [string, number[]][] = [
    ['model.embed_tokens.weight', [645, 256]],
    ['model.norm.weight', [256]],
  ]
  for (let i = 0; i < layers; i++) {
    const own: Record<string, number[]> = {
      input_layernorm: [256],
      post_attention_layernorm: [256],
      'mlp.down_proj': [256, 512],
      'mlp.gate_proj': [512, 256],
      'mlp.up_proj': [512, 256],
      'self_attn.k_proj': [128, 256],
      'self_attn.o_proj': [256, 256],
      'self_attn.q_proj': [256, 256],
      'self_attn.v_proj': [128, 256],
    }
    for (const [name, shape] of Object.entries(own)) shapes.push([`model.layers.${i}.${name}.weight`, shape])
  }
  const header = encodeHeader(
    shapes.map(([name, shape]) => ({ name, dtype: 'BF16' as const, shape })),
    new Map([['format', 'pt']]),
  )
  mkdirSync(path)
  const file = Buffer.alloc(header.fileSize, 0x3c)
  file.set(header.bytes)
  writeFileSync(join(path, 'model.safetensors'), file)
  for (const name of readdirSync(BASE)) if (!name.startsWith('model')) cpSync(join(BASE, name), join(path, name))
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: layers }))
}
