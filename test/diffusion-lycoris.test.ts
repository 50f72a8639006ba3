/** What LyCORIS and sd-scripts train beyond plain LoRA, against fixtures that their own classes wrote and checked (fixtures/make/diffusion_adapters.py). */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, MismatchError, planMerge, UnsupportedError } from '../src/index.js'
import { openAdapterFile } from '../src/adapters/formats.js'
import { openFolder } from '../src/sources/files.js'
import { assertMerged, type Tensors } from './support/diffusion-adapters.js'
import { FIXTURES } from './support/paths.js'
import { f32Tensor, readSafetensors, valuesOf, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { refused } from './support/refused.js'
import { workspace } from './support/workspace.js'

const FOLDER = join(FIXTURES, 'diffusion')
const BASE = join(FOLDER, 'base.safetensors')
const CASES = readdirSync(FOLDER).flatMap((name) => /^(.+)\.expected\.safetensors$/.exec(name)?.[1] ?? [])
const Q = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q'
const CONV = 'lora_unet_down_blocks_0_resnets_0_conv1'

const read = (name: string): Tensors => Object.fromEntries(readSafetensors(join(FOLDER, name)))

async function merged(t: Parameters<typeof workspace>[0], adapter: Tensors | string, metadata?: Record<string, string>): Promise<Map<string, PlainTensor>> {
  const folder = workspace(t)
  const path = typeof adapter === 'string' ? adapter : join(folder, 'style.safetensors')
  if (typeof adapter !== 'string') writeSafetensors(path, adapter, metadata)
  const out = join(folder, 'out.safetensors')
  await execute(await planMerge({ base: BASE, adapters: [{ path }], out }))
  return readSafetensors(out)
}

const expectedOf = (name: string): Map<string, Float64Array> =>
  new Map(Object.entries(read(`${name}.expected.safetensors`)).map(([tensor, values]) => [tensor, valuesOf(values)]))

describe('what LyCORIS and sd-scripts train', () => {
  assert.ok(CASES.length >= 25)
  for (const name of CASES) {
    it(`merges as its makers compute it: ${name}`, async (t) =>
      assertMerged(await merged(t, join(FOLDER, `${name}.safetensors`)), read('base.safetensors'), expectedOf(name)))
  }

  it('gives the same bytes in tiles of any size', async (t) => {
    for (const name of CASES) {
      const folder = workspace(t)
      const run = async (tileElements: number): Promise<Buffer> => {
        const out = join(folder, `${tileElements}.safetensors`)
        await execute(await planMerge({ base: BASE, adapters: [{ path: join(FOLDER, `${name}.safetensors`) }], out, tileElements }))
        return readFileSync(out)
      }
      assert.ok((await run(7)).equals(await run(262_144)), name)
    }
  })

  it('is called by its name', async () => {
    const kindOf = async (name: string): Promise<string> => (await openAdapterFile(await openFolder(FOLDER), `${name}.safetensors`)).kind
    assert.deepEqual(await Promise.all(['locon-tucker', 'loha-dora', 'lokr-pair', 'glora', 'oft', 'boft', 'kohya-oft', 'ia3', 'differences'].map(kindOf)), [
      'LyCORIS LoRA',
      'LyCORIS LoHa with DoRA',
      'LyCORIS LoKr',
      'LyCORIS GLoRA',
      'LyCORIS OFT',
      'LyCORIS BOFT',
      'kohya OFT',
      'LyCORIS IA3',
      'LyCORIS full differences and norms',
    ])
  })

  it('of LyCORIS before 2 has the pairs of GLoRA the other way round', async (t) => {
    const swapped = new Map([
      ['a1', 'a2'],
      ['a2', 'a1'],
      ['b1', 'b2'],
      ['b2', 'b1'],
    ])
    const old = Object.fromEntries(
      Object.entries(read('glora.safetensors')).map(([key, tensor]) => [
        key.replace(/\.([ab][12])\.weight$/, (_, part: string) => `.${swapped.get(part)}.weight`),
        tensor,
      ]),
    )
    assertMerged(await merged(t, old), read('base.safetensors'), expectedOf('glora'))
  })

  it('is GLoRA of alpha / √rank with rs_lora, which its alpha does not say', async (t) => {
    const adapter = read('glora.safetensors')
    const scaled = Object.fromEntries(
      Object.entries(adapter).map(([key, tensor]) => [key, key.endsWith('.alpha') ? f32Tensor([], [Math.fround(2 / Math.sqrt(3))]) : tensor]),
    )
    assertMerged(await merged(t, scaled, { ss_network_args: '{"algo": "glora", "rs_lora": "True"}' }), read('base.safetensors'), expectedOf('glora'))
  })

  it('may have a sparse rest, as LyCORIS extracts it from two models', async (t) => {
    const adapter = read('locon.safetensors')
    const expected = expectedOf('locon')
    const integers = (shape: readonly number[], numbers: readonly number[]): PlainTensor => ({
      dtype: 'I16',
      shape,
      bytes: new Uint8Array(Int16Array.from(numbers).buffer),
    })
    const rest = (path: string, rows: number, cols: number): Tensors => ({
      [`${path}.bias_indices`]: integers([2, 3], [0, 2, 7, cols - 1, 1, 3]),
      [`${path}.bias_values`]: f32Tensor([3], [0.5, -1, 2]),
      [`${path}.bias_size`]: integers([2], [rows, cols]),
    })
    for (const [path, name, cols] of [
      [Q, 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight', 8],
      [CONV, 'down_blocks.0.resnets.0.conv1.weight', 54],
    ] as const) {
      Object.assign(adapter, rest(path, 8, cols))
      const weight = expected.get(name)
      assert.ok(weight)
      const scale = 1.5 / 3 // of the whole update
      for (const [at, value] of [
        [cols - 1, 0.5],
        [2 * cols + 1, -1],
        [7 * cols + 3, 2],
      ] as const)
        weight[at] = (weight[at] ?? Number.NaN) + scale * value
    }
    assertMerged(await merged(t, adapter), read('base.safetensors'), expected)
    for (const [what, broken] of Object.entries({
      'of another weight': { ...adapter, ...rest(Q, 8, 9) },
      incomplete: Object.fromEntries(Object.entries(adapter).filter(([key]) => key !== `${CONV}.bias_values`)),
    }))
      await assert.rejects(merged(t, broken), refused(MismatchError, /its sparse rest .* is none of a weight of 8 x/), what)
  })

  it('is GLoRA of kernels of a sensible size only', async (t) => {
    const folder = workspace(t)
    writeSafetensors(join(folder, 'base.safetensors'), { 'down_blocks.0.conv.weight': f32Tensor([2, 2, 20, 20], Array(1600).fill(1)) })
    const key = 'lora_unet_down_blocks_0_conv'
    const shapes = { a1: [2, 1], a2: [1, 2], b1: [2, 1], b2: [1, 2, 20, 20] }
    const tensors = Object.entries(shapes).map(
      ([part, shape]) => [`${key}.${part}.weight`, f32Tensor(shape, Array(shape.reduce((a, b) => a * b, 1)).fill(0.1))] as const,
    )
    writeSafetensors(join(folder, 'style.safetensors'), Object.fromEntries(tensors))
    const plan = planMerge({
      base: join(folder, 'base.safetensors'),
      adapters: [{ path: join(folder, 'style.safetensors') }],
      out: join(folder, 'out.safetensors'),
    })
    await assert.rejects(plan, refused(UnsupportedError, /400 elements for each input; up to 343/))
  })

  it('takes weights where the result is linear in them, and refuses them where it is not', async (t) => {
    const folder = workspace(t)
    const run = (name: string, weight: number): Promise<unknown> =>
      planMerge({ base: BASE, adapters: [{ path: join(FOLDER, `${name}.safetensors`), weight }], out: join(folder, 'out.safetensors') })
    for (const name of ['glora', 'ia3', 'lokr-tucker']) await run(name, 0.5)
    for (const name of ['oft', 'boft', 'loha-dora']) await assert.rejects(run(name, 0.5), refused(UnsupportedError, /is no sum and cannot have weight 0\.5/))
  })
})

describe('a file of LyCORIS that cannot be merged', () => {
  const whole = read('oft.safetensors')
  const with_ = (more: Tensors): Tensors => ({ ...whole, ...more })
  for (const [what, adapter, error, reason] of [
    [
      'holds a magnitude alone',
      { [`${Q}.dora_scale`]: f32Tensor([8, 1], Array(8).fill(1)) },
      MismatchError,
      /dora_scale": is alone: none of the factors of its module/,
    ],
    [
      'has blocks for other outputs',
      { [`${Q}.oft_blocks`]: f32Tensor([3, 2, 2], Array(12).fill(0.1)) },
      MismatchError,
      /its blocks are of 6 outputs; the base's .* has 8/,
    ],
    ['has blocks that are not square', { [`${Q}.oft_blocks`]: f32Tensor([4, 2, 3], Array(24).fill(0.1)) }, MismatchError, /square blocks are wanted/],
    ['has a butterfly of odd blocks', { [`${Q}.oft_blocks`]: f32Tensor([2, 8, 1, 1], Array(16).fill(0.1)) }, MismatchError, /no butterfly has these/],
    ['has a constraint below zero', with_({ [`${Q}.alpha`]: f32Tensor([], [-1]) }), MismatchError, /constraint of a rotation, is -1; 0 or more/],
    [
      'is an OFT of sd-scripts with constraint 0',
      { [`oft_unet_${Q.slice(10)}.oft_blocks`]: f32Tensor([4, 2, 2], Array(16).fill(0.1)), [`oft_unet_${Q.slice(10)}.alpha`]: f32Tensor([], [0]) },
      MismatchError,
      /is 0; more than 0 is wanted/,
    ],
    ['mixes two kinds in a module', with_({ [`${Q}.lora_down.weight`]: f32Tensor([1, 8], Array(8).fill(0.1)) }), MismatchError, /has no business with OFT/],
    ['is T-LoRA', with_({ [`${CONV}.lambda_layer`]: f32Tensor([1, 2], [1, 1]) }), UnsupportedError, /lambda_layer": is of T-LoRA/],
    [
      'is an OFT of LyCORIS 1',
      { [`${Q}.oft_diag`]: f32Tensor([2, 2, 2], Array(8).fill(0.1)) },
      UnsupportedError,
      /oft_diag": is a rotation as LyCORIS stored it before version 2/,
    ],
    ['widens the base', with_({ 'diffusion_model.conv_in.reshape_weight': f32Tensor([2], [1, 1]) }), UnsupportedError, /control LoRA/],
    [
      'is IA3 for other outputs',
      { [`${Q}.weight`]: f32Tensor([7], Array(7).fill(0.1)), [`${Q}.on_input`]: f32Tensor([], [0]) },
      MismatchError,
      /has shape \[7\], but the base's .* is \[8, 8\]/,
    ],
    [
      'is GLoRA that fits in two ways',
      Object.fromEntries([...['a1', 'a2', 'b1', 'b2'].map((part) => [`${Q}.${part}.weight`, f32Tensor([8, 8], Array(64).fill(0.1))] as const)]),
      MismatchError,
      /only square matrices \[8, 8\]/,
    ],
    [
      'has a core of another kernel',
      { ...read('locon-tucker.safetensors'), [`${CONV}.lora_mid.weight`]: f32Tensor([3, 3, 1, 9], Array(81).fill(0.1)) },
      MismatchError,
      /lora_mid.weight": has shape \[3, 3, 1, 9\], but the base's/,
    ],
  ] as [string, Tensors, new (...args: never[]) => Error, RegExp][]) {
    it(`is refused with the reason: it ${what}`, async (t) => {
      await assert.rejects(merged(t, adapter), refused(error, reason))
    })
  }
})
