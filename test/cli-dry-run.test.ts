/** What --dry-run says is what the real run does, and it touches nothing. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { inspect } from '../src/index.js'
import { FIXTURES } from './support/paths.js'
import { runCli, runCliOk, type Command } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

interface PlanEvent {
  readonly event: string
  readonly dryRun?: boolean
  readonly root: string
  readonly target: string
  readonly files: readonly { name: string; bytes: number }[]
  readonly sideFiles: readonly string[]
  readonly tensors: readonly {
    name: string
    type: string
    shape: number[]
    file: string
    offset: number
    bytes: number
    from: string[]
    adapters: { rank: number; scale: number; adapter: number }[]
  }[]
  readonly decisions: readonly string[]
  readonly outputBytes: number
  readonly expectedPeakBytes: number
  readonly disk: { needed: number; free: number }
}

/** Everything below a folder: name -> size. */
function tree(folder: string): Map<string, number> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => statSync(join(folder, name)).isFile())
  return new Map(names.sort().map((name) => [name, statSync(join(folder, name)).size]))
}

function withoutDisk({ disk, ...rest }: PlanEvent): Omit<PlanEvent, 'disk' | 'event' | 'dryRun'> {
  const { event, dryRun, ...plan } = rest
  assert.equal(event, 'plan')
  assert.ok(dryRun === true || dryRun === undefined)
  assert.ok(disk.needed > 0 && disk.free > 0)
  return plan
}

describe('--dry-run', () => {
  const second = (home: string): string => {
    const folder = join(home, 'second')
    cpSync(ADAPTER, folder, { recursive: true })
    writeFileSync(join(folder, 'adapter_config.json'), readFileSync(join(folder, 'adapter_config.json'), 'utf8').replace('"lora_alpha": 16', '"lora_alpha": 4'))
    return 'second'
  }
  const cases: readonly [string, Command, (home: string) => readonly string[]][] = [
    ['a fused q8_0', 'lora-merge', () => [BASE, ADAPTER, 'out/x.gguf', '--outtype', 'q8_0']],
    ['a folder', 'lora-merge', () => [BASE, ADAPTER, 'out']],
    ['a folder with --dtype and --max-shard-size', 'lora-merge', () => [BASE, ADAPTER, 'out', '--dtype', 'f32', '--max-shard-size', '2MB']],
    ['a plain f16', 'to-gguf', () => [BASE, '-o', 'out/', '--outtype', 'f16']],
    ['a vocabulary', 'to-gguf', () => [BASE, '-o', 'out/v.gguf', '--vocab-only', '--no-receipt']],
    ['two adapters', 'to-gguf', (home) => [BASE, '--adapter', `${ADAPTER}@0.5`, '--adapter', second(home), '-o', 'out/two.gguf']],
  ]
  for (const [what, command, argsIn] of cases) {
    it(`says what the real run does: ${what}`, async (t) => {
      const home = workspace(t)
      const args = argsIn(home)
      const before = tree(home)
      const dry = await runCliOk(command, [...args, '--dry-run', '--json'], { cwd: home })
      assert.equal(dry.stdout.trim().split('\n').length, 1)
      assert.deepEqual(tree(home), before, 'nothing is written')
      const planned = JSON.parse(dry.stdout) as PlanEvent
      const real = await runCliOk(command, [...args, '--json'], { cwd: home })
      const events = real.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as PlanEvent & { bytes: number; files: string[]; peakBytes: number })
      assert.deepEqual(withoutDisk(planned), withoutDisk(events[0] as PlanEvent), 'the real run makes the same plan')

      const out = join(home, 'out')
      const written = tree(out)
      const receipts = [...written].filter(([name]) => name.endsWith('.receipt.json'))
      assert.deepEqual([...written.keys()].sort(), [...planned.files.map(({ name }) => name), ...planned.sideFiles].sort(), 'the same files')
      for (const { name, bytes } of planned.files) assert.equal(written.get(name), bytes, name)
      assert.equal([...written.values()].reduce((sum, bytes) => sum + bytes, 0) - receipts.reduce((sum, [, bytes]) => sum + bytes, 0), planned.outputBytes)
      assert.equal(planned.disk.needed, planned.outputBytes)
      assert.ok((events.at(-1)?.peakBytes ?? Infinity) < planned.expectedPeakBytes * 1.5, 'peak memory is what was said, or less')

      const inGguf = planned.files[0]?.name.endsWith('.gguf') === true
      const found = await Promise.all(planned.files.map(({ name }) => inspect(join(out, name))))
      const tensors = found.flatMap((one) => one.tensors)
      assert.deepEqual(
        planned.tensors.map(({ name, type, shape, file, offset, bytes }) => ({ name, type: inGguf ? type.toUpperCase() : type, shape, file, offset, bytes })),
        tensors.map(({ name, dtype, shape, file, offset, byteLength }) => ({ name, type: dtype, shape, file, offset, bytes: byteLength })),
      )
    })
  }

  it('prints every tensor with type, shape, bytes and what it is made of, then decisions, size, memory and disk', async (t) => {
    const home = workspace(t)
    const { stdout, stderr } = await runCliOk('lora-merge', [BASE, `${ADAPTER}@0.5`, 'x.gguf', '--outtype', 'q8_0', '--dry-run'], { cwd: home })
    assert.equal(stderr, '')
    assert.match(stdout, /^ {2}blk\.0\.attn_q\.weight {2}q8_0 \[256, 256\] 69632 bytes {2}<- model\.layers\.0\.self_attn\.q_proj\.weight \+ lora r8 x1$/m)
    assert.match(stdout, /^ {2}output_norm\.weight {2}f32 \[256\] 1024 bytes {2}<- model\.norm\.weight$/m)
    assert.equal(stdout.match(/^ {2}\S+ {2}(?:q8_0|f32) \[/gm)?.length, 38)
    assert.match(stdout, /^- llama \(38 tensors\), type Q8_0$/m)
    assert.match(stdout, /^- ship-log-lora: PEFT LoRA, 28 tensors, weight 0\.5$/m)
    assert.match(stdout, /^output size: \d+ bytes \(2\.71 MB\)$/m)
    assert.match(stdout, /^peak memory: about \d+(?:\.\d+)? MB$/m)
    assert.match(stdout, /^disk: 2\.71 MB needed, \S+ [kMGT]?B free$/m)
    assert.match(stdout, /^beside it: x\.gguf\.receipt\.json, Modelfile$/m)
    assert.deepEqual(readdirSync(home), [])
  })

  it('names the adapter behind each delta when there are several', async (t) => {
    const home = workspace(t)
    const { stdout } = await runCliOk('lora-merge', [BASE, ADAPTER, second(home), 'x.gguf', '--dry-run'], { cwd: home })
    assert.match(stdout, /attn_q\.weight .* \+ lora r8 x\S+ \(\S+\) \+ lora r8 x\S+ \(\S+\)$/m)
  })

  it('escapes what a tensor’s name would do to a terminal', async (t) => {
    const home = workspace(t)
    const header = JSON.stringify({
      'a\u001b[2Jb': { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
      'm.weight': { dtype: 'F32', shape: [1, 1], data_offsets: [4, 8] },
    })
    writeSafetensors(join(home, 'base.safetensors'), header, 8)
    mkdirSync(join(home, 'lora'))
    const factor = (name: string, at: number): string =>
      `"base_model.model.m.lora_${name}.weight":{"dtype":"F32","shape":[1,1],"data_offsets":[${at},${at + 4}]}`
    writeSafetensors(join(home, 'lora', 'adapter_model.safetensors'), `{${factor('A', 0)},${factor('B', 4)}}`, 8)
    writeFileSync(join(home, 'lora', 'adapter_config.json'), '{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":["m"]}')
    const { stdout } = await runCliOk('lora-merge', ['base.safetensors', 'lora', 'out.safetensors', '--dry-run'], { cwd: home })
    assert.match(stdout, /^ {2}a\\u001b\[2Jb {2}F32 \[1\] 4 bytes/m)
  })

  it('refuses what the real run would refuse, with the same words', async (t) => {
    const home = workspace(t)
    writeFileSync(join(home, 'x.gguf'), 'mine')
    mkdirSync(join(home, 'full'))
    writeFileSync(join(home, 'full', 'notes.txt'), 'mine')
    for (const [code, args] of [
      [5, [BASE, ADAPTER, 'x.gguf']],
      [5, [BASE, ADAPTER, 'full']],
      [5, [BASE, ADAPTER, join('x.gguf', 'below')]],
      [2, [BASE, ADAPTER, BASE]],
      [2, [BASE, ADAPTER, ADAPTER]],
      [5, [BASE, 'missing', 'new']],
    ] as const) {
      const [dry, real] = [await runCli('lora-merge', [...args, '--dry-run'], { cwd: home }), await runCli('lora-merge', args, { cwd: home })]
      assert.equal(dry.code, code, `${args.join(' ')}: ${dry.stderr}`)
      assert.deepEqual({ ...dry }, { ...real })
    }
    assert.deepEqual(readdirSync(home).sort(), ['full', 'x.gguf'])
  })
})

function writeSafetensors(path: string, header: string, dataBytes: number): void {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)))
  writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(dataBytes)]))
}
