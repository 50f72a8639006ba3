/**
 * Adapters for FLUX, FLUX.2, Stable Diffusion 3, Wan and Z-Image, whose original checkpoints keep in one matrix what diffusers keeps apart. What is where is told by
 * fixtures/diffusion/names.json, which diffusers' own converters wrote. The law: merging and converting may change places.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planMerge, UnsupportedError } from '../src/index.js'
import { PartNames } from '../src/adapters/diffusion/part-names.js'
import { partsOf } from '../src/adapters/diffusion/parts.js'
import { baseOf } from './support/adapters.js'
import { added, assertMerged, loraDelta, modelTensors, type Tensors } from './support/diffusion-adapters.js'
import { FIXTURES } from './support/paths.js'
import { f32Tensor, readSafetensors, valuesOf, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { refused } from './support/refused.js'
import { clipModules, SD15, SDXL, unetModules } from './support/stable-diffusion.js'
import { seededTensor, writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

type Naming = 'original' | 'diffusers'
type Context = Parameters<typeof workspace>[0]
/** A module of the original, and rows of it counted in the hidden size; all of them when none are named. */
type Source = readonly [module: string, first?: number, count?: number]
interface Family {
  /** Rows and columns counted in the hidden size (0: another size), and whether there is a bias. */
  readonly original: Readonly<Record<string, readonly [rows: number, cols: number, hasBias: boolean]>>
  readonly diffusers: Readonly<Record<string, readonly Source[]>>
}
interface Facts {
  readonly flux: Family
  readonly flux2: Family
  readonly sd3: Family
  readonly wan: Family
  readonly zImage: Family
  readonly unets: { readonly sd15: Digest; readonly sdxl: Digest }
}
interface Digest {
  readonly modules: number
  readonly sha256: string
}

const FACTS = JSON.parse(readFileSync(join(FIXTURES, 'diffusion', 'names.json'), 'utf8')) as Facts
const FAMILIES = { FLUX: FACTS.flux, 'FLUX.2': FACTS.flux2, 'Stable Diffusion 3': FACTS.sd3, Wan: FACTS.wan, 'Z-Image': FACTS.zImage }
const HIDDEN = 4
const OTHER = 6 // what is no multiple of the hidden size
const flat = (name: string): string => name.replaceAll('.', '_')
const side = (units: number): number => (units === 0 ? OTHER : units * HIDDEN)

/** Shapes of a model's modules in a naming. */
function shapesOf({ original, diffusers }: Family, naming: Naming): Map<string, { shape: readonly [number, number]; hasBias: boolean }> {
  const all = new Map(Object.entries(original).map(([name, [rows, cols, hasBias]]) => [name, { shape: [side(rows), side(cols)] as const, hasBias }]))
  if (naming === 'original') return all
  return new Map(
    Object.entries(diffusers).map(([name, sources]) => {
      const whole = all.get(sources[0]?.[0] ?? '')
      assert.ok(whole, name)
      const rows = sources.reduce((sum, [, , count]) => sum + (count === undefined ? whole.shape[0] : count * HIDDEN), 0)
      return [name, { shape: [rows, whole.shape[1]], hasBias: whole.hasBias }]
    }),
  )
}

function modelOf(family: Family): Tensors {
  const tensors: Tensors = {}
  for (const [i, [name, { shape, hasBias }]] of [...shapesOf(family, 'original')].entries()) {
    tensors[`${name}.weight`] = seededTensor(1000 + 2 * i, 'F32', shape, 0.5)
    if (hasBias) tensors[`${name}.bias`] = seededTensor(1001 + 2 * i, 'F32', shape.slice(0, 1), 0.5)
  }
  return tensors
}

/** What diffusers makes of an original checkpoint. */
function converted({ diffusers }: Family, original: Tensors): Tensors {
  const tensors: Tensors = {}
  for (const [name, sources] of Object.entries(diffusers)) {
    for (const what of ['weight', 'bias']) {
      const parts = sources.flatMap(([module, first = 0, count]) => {
        const tensor = original[`${module}.${what}`]
        if (tensor === undefined) return []
        const rowBytes = tensor.bytes.length / (tensor.shape[0] ?? 1)
        const rows = count === undefined ? (tensor.shape[0] ?? 0) : count * HIDDEN
        return [{ rest: tensor.shape.slice(1), rows, bytes: tensor.bytes.slice(first * HIDDEN * rowBytes, (first * HIDDEN + rows) * rowBytes) }]
      })
      if (parts.length === 0) continue
      const shape = [parts.reduce((sum, { rows }) => sum + rows, 0), ...(parts[0]?.rest ?? [])]
      tensors[`${name}.${what}`] = { dtype: 'F32', shape, bytes: Uint8Array.from(parts.flatMap(({ bytes }) => [...bytes])) }
    }
  }
  return tensors
}

async function merge(t: Context, base: Tensors, adapter: Tensors): Promise<Tensors> {
  const folder = workspace(t)
  const [from, path, out] = ['base', 'style', 'out'].map((name) => join(folder, `${name}.safetensors`)) as [string, string, string]
  writeSafetensors(from, base)
  writeSafetensors(path, adapter)
  await execute(await planMerge({ base: from, adapters: [{ path }], out }))
  return Object.fromEntries(readSafetensors(out))
}

type Maker = (key: string, shape: readonly [number, number], hasBias: boolean, seed: number) => Tensors
const values = (seed: number, shape: readonly number[], scale = 0.2): PlainTensor => seededTensor(seed, 'F32', shape, scale)
const alpha = (key: string, value: number): Tensors => ({ [`${key}.alpha`]: f32Tensor([], [value]) })
const lora: Maker = (key, [out, inputs], _, seed) => ({
  [`${key}.lora_down.weight`]: values(seed, [3, inputs]),
  [`${key}.lora_up.weight`]: values(seed + 1, [out, 3]),
  ...alpha(key, 1.5),
})

/** One module of each kind, for a matrix of any size. */
const KINDS: Readonly<Record<string, Maker>> = {
  LoRA: lora,
  'LoRA with DoRA': (key, shape, hasBias, seed) => ({ ...lora(key, shape, hasBias, seed), [`${key}.dora_scale`]: values(seed + 2, [shape[0], 1], 1) }),
  LoHa: (key, [out, inputs], _, seed) => ({
    [`${key}.hada_w1_a`]: values(seed, [out, 2]),
    [`${key}.hada_w1_b`]: values(seed + 1, [2, inputs]),
    [`${key}.hada_w2_a`]: values(seed + 2, [out, 2]),
    [`${key}.hada_w2_b`]: values(seed + 3, [2, inputs]),
    ...alpha(key, 1),
  }),
  LoKr: (key, [out, inputs], _, seed) => ({ [`${key}.lokr_w1`]: values(seed, [2, 2]), [`${key}.lokr_w2`]: values(seed + 1, [out / 2, inputs / 2]) }),
  GLoRA: (key, [out, inputs], _, seed) => ({
    [`${key}.a1.weight`]: values(seed, [inputs, 2]),
    [`${key}.a2.weight`]: values(seed + 1, [2, inputs]),
    [`${key}.b1.weight`]: values(seed + 2, [out, 2]),
    [`${key}.b2.weight`]: values(seed + 3, [2, inputs]),
    ...alpha(key, 3),
  }),
  OFT: (key, [out], _, seed) => ({ [`${key}.oft_blocks`]: values(seed, [out / 2, 2, 2], 0.5), ...alpha(key, 0.05) }),
  'IA3 of outputs': (key, [out], _, seed) => ({ [`${key}.weight`]: values(seed, [out]), [`${key}.on_input`]: f32Tensor([], [0]) }),
  'IA3 of inputs': (key, [, inputs], _, seed) => ({ [`${key}.weight`]: values(seed, [inputs]), [`${key}.on_input`]: f32Tensor([], [1]) }),
  differences: (key, shape, hasBias, seed) => ({
    [`${key}.diff`]: values(seed, shape),
    ...(hasBias ? { [`${key}.diff_b`]: values(seed + 1, shape.slice(0, 1)) } : {}),
  }),
}

/** An adapter for every module of a model, in a naming. */
function adapterOf(family: Family, naming: Naming, make: Maker, keyOf = (name: string): string => `lora_unet_${flat(name)}`): Tensors {
  const all = [...shapesOf(family, naming)].map(([name, { shape, hasBias }], i) => make(keyOf(name), shape, hasBias, 5000 + 10 * i))
  return Object.assign({}, ...all) as Tensors
}

/** The same bits: the last one may differ where rows of one product lie in tiles of other widths, which they never do. */
function assertSame(got: Tensors, wanted: Tensors): void {
  assert.deepEqual(Object.keys(got).sort(), Object.keys(wanted).sort())
  for (const [name, tensor] of Object.entries(wanted)) {
    assert.deepEqual(got[name]?.shape, tensor.shape, name)
    assert.deepEqual(valuesOf(got[name] ?? tensor), valuesOf(tensor), name)
  }
}

for (const [title, family] of Object.entries(FAMILIES)) {
  describe(`the transformer of ${title}`, () => {
    const original = modelOf(family)
    const diffusers = converted(family, original)

    it('has every module under both of its names', () => {
      for (const [naming, base] of [
        ['original', original],
        ['diffusers', diffusers],
      ] as const) {
        const [part] = partsOf(baseOf(Object.fromEntries(Object.entries(base).map(([name, { shape }]) => [name, shape]))))
        assert.ok(part)
        assert.ok(part.components.includes('transformer'))
        const names = new PartNames(part)
        for (const [module, sources] of Object.entries(family.diffusers)) {
          for (const name of [module, ...sources.map(([source]) => source)]) {
            assert.ok(names.find(name, false, {}), `${name} in ${naming} naming`)
            assert.ok(names.find(flat(name), true, {}), `${flat(name)} in ${naming} naming`)
          }
        }
      }
    })

    it('takes LoRA by its definition', async (t) => {
      const adapter = adapterOf(family, 'original', lora)
      const expected = [...shapesOf(family, 'original')].map(([name, { shape }]) => {
        const base = original[`${name}.weight`]
        assert.ok(base)
        return [`${name}.weight`, added(base, loraDelta(adapter, { key: `lora_unet_${flat(name)}`, shape, rank: 3, alpha: 1.5 }))] as const
      })
      assertMerged(new Map(Object.entries(await merge(t, original, adapter))), original, new Map(expected))
    })

    for (const [kind, make] of Object.entries(KINDS)) {
      for (const naming of ['original', 'diffusers'] as const) {
        it(`merges ${kind} in ${naming} naming into diffusers' folder as into the original checkpoint`, async (t) => {
          const adapter = adapterOf(family, naming, make)
          const merged = await merge(t, original, adapter)
          assert.notDeepEqual(Object.values(merged), Object.values(original))
          assertSame(await merge(t, diffusers, adapter), converted(family, merged))
        })
      }
    }
  })
}

describe('keys of an adapter for a transformer', () => {
  const original = modelOf(FACTS.flux)
  const diffusers = converted(FACTS.flux, original)
  const peft: Maker = (key, [out, inputs], _, seed) => ({
    [`${key}.lora_A.weight`]: values(seed, [3, inputs]),
    [`${key}.lora_B.weight`]: values(seed + 1, [out, 3]),
  })
  const plain: Maker = (key, shape, hasBias, seed) => ({ ...lora(key, shape, hasBias, seed), ...alpha(key, 3) })

  for (const [naming, prefix] of [
    ['original', 'diffusion_model.'],
    ['original', 'model.diffusion_model.'],
    ['original', 'transformer.'],
    ['original', ''],
    ['diffusers', 'transformer.'],
    ['diffusers', ''],
  ] as const) {
    it(`may begin with "${prefix}", in ${naming} naming`, async (t) => {
      const adapter = adapterOf(FACTS.flux, naming, peft, (name) => prefix + name)
      const flattened = adapterOf(FACTS.flux, naming, plain)
      for (const base of [original, diffusers]) assertSame(await merge(t, base, adapter), await merge(t, base, flattened))
    })
  }

  it("are those of ComfyUI's checkpoint too", async (t) => {
    const prefixed = Object.fromEntries(Object.entries(original).map(([name, tensor]) => [`model.diffusion_model.${name}`, tensor]))
    const adapter = adapterOf(FACTS.flux, 'diffusers', lora)
    const got = await merge(t, prefixed, adapter)
    assertSame(
      Object.fromEntries(Object.entries(got).map(([name, tensor]) => [name.slice('model.diffusion_model.'.length), tensor])),
      await merge(t, original, adapter),
    )
  })

  it('are those of XLabs, whose update of a single block leaves out the rows of its MLP', async (t) => {
    const pairs = [
      ['double_blocks.1.processor.proj_lora1', ['transformer_blocks.1.attn.to_out.0'], HIDDEN],
      ['double_blocks.1.processor.proj_lora2', ['transformer_blocks.1.attn.to_add_out'], HIDDEN],
      ['double_blocks.1.processor.qkv_lora1', ['to_q', 'to_k', 'to_v'].map((one) => `transformer_blocks.1.attn.${one}`), HIDDEN],
      ['double_blocks.1.processor.qkv_lora2', ['add_q_proj', 'add_k_proj', 'add_v_proj'].map((one) => `transformer_blocks.1.attn.${one}`), HIDDEN],
      ['single_blocks.0.processor.proj_lora', ['single_transformer_blocks.0.proj_out'], 5 * HIDDEN],
      ['single_blocks.0.processor.qkv_lora', ['to_q', 'to_k', 'to_v'].map((one) => `single_transformer_blocks.0.attn.${one}`), HIDDEN],
    ] as const
    const xlabs: Tensors = {}
    const apart: Tensors = {}
    for (const [i, [key, modules, inputs]] of pairs.entries()) {
      const [down, up] = [values(10 * i, [2, inputs]), values(10 * i + 1, [modules.length * HIDDEN, 2])]
      Object.assign(xlabs, { [`${key}.down.weight`]: down, [`${key}.up.weight`]: up })
      const bytes = up.bytes.length / modules.length
      modules.forEach((module, j) => {
        apart[`transformer.${module}.lora_A.weight`] = down
        apart[`transformer.${module}.lora_B.weight`] = { ...up, shape: [HIDDEN, 2], bytes: up.bytes.slice(j * bytes, (j + 1) * bytes) }
      })
    }
    for (const base of [original, diffusers]) assertSame(await merge(t, base, xlabs), await merge(t, base, apart))
  })

  it("are those of sd-scripts' OFT for FLUX, with a list of blocks for each part of a matrix", async (t) => {
    const [fused, parts] = ['double_blocks_0_img_attn_qkv', ['to_q', 'to_k', 'to_v'].map((one) => `transformer_blocks_0_attn_${one}`)]
    const blocks = parts.map((_, i) => values(i, [2, 2, 2], 0.5))
    const list = Object.fromEntries(blocks.map((one, i) => [`oft_unet_${fused}.oft_blocks.${i}`, one]))
    const apart = parts.flatMap((part, i) => Object.entries({ [`oft_unet_${part}.oft_blocks.0`]: blocks[i], ...alpha(`oft_unet_${part}`, 0.1) }))
    for (const base of [original, diffusers])
      assertSame(await merge(t, base, { ...list, ...alpha(`oft_unet_${fused}`, 0.1) }), await merge(t, base, Object.fromEntries(apart) as Tensors))
  })

  for (const [what, make, reason] of [
    [
      'a magnitude of inputs',
      { dora_scale: values(3, [1, HIDDEN], 1), ...stripped(lora('x', [3 * HIDDEN, HIDDEN], true, 1)) },
      /magnitude for each input, of all outputs together/,
    ],
    ['blocks across its parts', { oft_blocks: values(1, [2, 6, 6]) }, /has blocks of 6 outputs, and the base keeps the module "double_blocks.0.img_attn.qkv"/],
    [
      'a butterfly',
      { oft_blocks: values(1, [2, 6, 2, 2]) },
      /rotates outputs that are far apart \(BOFT\).*merge it into the checkpoint that has it as it was trained/,
    ],
  ] as [string, Tensors, RegExp][]) {
    it(`cannot be told apart with ${what}: merged into the original, refused for diffusers' folder`, async (t) => {
      const adapter = Object.fromEntries(Object.entries(make).map(([key, tensor]) => [`lora_unet_double_blocks_0_img_attn_qkv.${key}`, tensor]))
      assert.notDeepEqual(Object.values(await merge(t, original, adapter)), Object.values(original))
      await assert.rejects(merge(t, diffusers, adapter), refused(UnsupportedError, reason))
    })
  }
})

describe('several adapters for a transformer', () => {
  const original = modelOf(FACTS.flux)
  const diffusers = converted(FACTS.flux, original)
  const mergeAll = async (t: Context, base: Tensors, adapters: readonly (readonly [Tensors, number])[], combine?: 'linear'): Promise<Tensors> => {
    const folder = workspace(t)
    writeSafetensors(join(folder, 'base.safetensors'), base)
    const paths = adapters.map(([adapter, weight], i) => {
      writeSafetensors(join(folder, `${i}.safetensors`), adapter)
      return { path: join(folder, `${i}.safetensors`), weight }
    })
    const out = join(folder, 'out.safetensors')
    await execute(await planMerge({ base: join(folder, 'base.safetensors'), adapters: paths, out, ...(combine === undefined ? {} : { combine }) }))
    return Object.fromEntries(readSafetensors(out))
  }
  const fused = adapterOf(FACTS.flux, 'original', lora)
  const apart = adapterOf(FACTS.flux, 'diffusers', KINDS['LoHa'] ?? lora)

  it('are summed alike, whichever has parts of what the other has whole, in any order', async (t) => {
    const merged = await mergeAll(t, original, [
      [fused, 0.5],
      [apart, 2],
    ])
    const turned = await mergeAll(t, original, [
      [apart, 2],
      [fused, 0.5],
    ])
    assertSame(turned, merged)
    const inFolder = await mergeAll(t, diffusers, [
      [fused, 0.5],
      [apart, 2],
    ])
    assertSame(inFolder, converted(FACTS.flux, merged))
  })

  it('take each other back', async (t) => {
    const doubled = Object.fromEntries(Object.entries(fused).map(([key, tensor]) => [key, key.endsWith('.alpha') ? f32Tensor([], [3]) : tensor]))
    for (const base of [original, diffusers])
      assertSame(
        await mergeAll(t, base, [
          [fused, 1],
          [doubled, -0.5],
        ]),
        base,
      )
  })

  it('are combined factor by factor in the rows that a part has', async (t) => {
    const other = adapterOf(FACTS.flux, 'original', (key, shape, hasBias, seed) => lora(key, shape, hasBias, seed + 77))
    const both = [
      [fused, 1],
      [other, 0.5],
    ] as const
    assertSame(await mergeAll(t, diffusers, both, 'linear'), converted(FACTS.flux, await mergeAll(t, original, both, 'linear')))
  })

  it('that are no sum are refused beside parts', async (t) => {
    const rotating = adapterOf(FACTS.flux, 'original', KINDS['OFT'] ?? lora)
    const plain = adapterOf(FACTS.flux, 'diffusers', lora)
    const both = [
      [rotating, 1],
      [plain, 1],
    ] as const
    await assert.rejects(
      mergeAll(t, original, both),
      refused(UnsupportedError, /(?:changed by several adapters|changed as a whole by rotateRows).*merge one after the other/),
    )
    await assert.rejects(mergeAll(t, diffusers, both), refused(UnsupportedError, /changed by several adapters, one of them by rotateRows/))
  })
})

describe("OpenCLIP's projection, which original checkpoints keep transposed", () => {
  const [inputs, out] = [4, 6]
  const layer = { 'text_model.encoder.layers.0.mlp.fc1.weight': values(1, [16, 4]) }
  const projection = values(2, [out, inputs], 0.5)
  const turned = (tensor: PlainTensor): PlainTensor => {
    const [rows = 0, cols = 0] = tensor.shape
    const all = valuesOf(tensor)
    const back = Array.from({ length: rows * cols }, (_, i) => all[(i % rows) * cols + Math.floor(i / rows)] ?? Number.NaN)
    return f32Tensor([cols, rows], back)
  }
  for (const [kind, make] of Object.entries(KINDS)) {
    it(`takes ${kind} as transformers' layer does`, async (t) => {
      const adapter = make('lora_te2_text_projection', [out, inputs], false, 9)
      const merged = await merge(t, { ...layer, 'text_projection.weight': projection }, adapter)
      assert.notDeepEqual(merged['text_projection.weight']?.bytes, projection.bytes)
      const original = { 'transformer.resblocks.0.mlp.c_fc.weight': values(1, [16, 4]), text_projection: turned(projection) }
      const got = (await merge(t, original, adapter))['text_projection']
      assert.ok(got && merged['text_projection.weight'])
      assert.deepEqual(got.shape, [inputs, out])
      assert.deepEqual(valuesOf(turned(got)), valuesOf(merged['text_projection.weight']))
    })
  }
})

describe("OpenCLIP's attention, which original checkpoints keep in one matrix", () => {
  const parts = ['q_proj', 'k_proj', 'v_proj']
  const path = 'text_model.encoder.layers.0.self_attn'
  const apart = Object.fromEntries(
    parts.flatMap((part, i) => [
      [`${path}.${part}.weight`, values(20 + i, [4, 4], 0.5)],
      [`${path}.${part}.bias`, values(30 + i, [4], 0.5)],
    ]),
  )
  const joined = (tensors: Tensors, what: string): PlainTensor => {
    const all = parts.map((part) => tensors[`${path}.${part}.${what}`])
    const [first] = all
    assert.ok(first)
    return { ...first, shape: [12, ...first.shape.slice(1)], bytes: Uint8Array.from(all.flatMap((one) => [...(one?.bytes ?? [])])) }
  }
  const original = (tensors: Tensors): Tensors => ({
    'transformer.resblocks.0.attn.in_proj_weight': joined(tensors, 'weight'),
    'transformer.resblocks.0.attn.in_proj_bias': joined(tensors, 'bias'),
  })
  const kinds: Readonly<Record<string, Maker>> = {
    ...KINDS,
    'LoRA with DoRA of inputs': (key, shape, hasBias, seed) => ({
      ...lora(key, shape, hasBias, seed),
      [`${key}.dora_scale`]: values(seed + 2, [1, shape[1]], 1),
    }),
    BOFT: (key, _, __, seed) => ({ [`${key}.oft_blocks`]: values(seed, [2, 2, 2, 2], 0.5) }),
  }
  for (const [kind, make] of Object.entries(kinds)) {
    it(`takes ${kind} of each part in its rows`, async (t) => {
      const flatPath = `lora_te2_${flat(path)}`
      for (const trained of [parts, parts.slice(1, 2)]) {
        const adapter = Object.assign({}, ...trained.map((part, i) => make(`${flatPath}_${part}`, [4, 4], true, 40 + 10 * i))) as Tensors
        assertSame(await merge(t, original(apart), adapter), original(await merge(t, apart, adapter)))
      }
    })
  }
})

describe('a pipeline of FLUX', () => {
  it("takes sd-scripts' adapter in all of its models: T5 is the third text encoder there, the second here", async (t) => {
    const folder = workspace(t)
    const clip = modelTensors(clipModules(2, 4), 'diffusers')
    const t5 = Object.fromEntries(
      ['SelfAttention.q', 'SelfAttention.k', 'SelfAttention.v', 'SelfAttention.o'].map((name, i) => [
        `encoder.block.0.layer.0.${name}.weight`,
        values(i, [4, 4], 0.5),
      ]),
    )
    const models = { transformer: converted(FACTS.flux, modelOf(FACTS.flux)), text_encoder: clip, text_encoder_2: t5 }
    writeSideFiles(join(folder, 'flux'), {
      'model_index.json': {
        _class_name: 'FluxPipeline',
        transformer: ['diffusers', 'FluxTransformer2DModel'],
        text_encoder: ['transformers', 'CLIPTextModel'],
        text_encoder_2: ['transformers', 'T5EncoderModel'],
      },
      ...Object.fromEntries(Object.keys(models).map((name) => [`${name}/config.json`, {}])),
    })
    for (const [name, tensors] of Object.entries(models))
      writeSafetensors(join(folder, 'flux', name, `${name === 'transformer' ? 'diffusion_pytorch_model' : 'model'}.safetensors`), tensors)
    const q = 'encoder.block.0.layer.0.SelfAttention.q'
    const fc = 'text_model.encoder.layers.1.mlp.fc1'
    const adapter = {
      ...adapterOf(FACTS.flux, 'original', lora),
      ...lora(`lora_te1_${flat(fc)}`, [16, 4], true, 3),
      ...lora(`lora_te3_${flat(q)}`, [4, 4], false, 5),
    }
    writeSafetensors(join(folder, 'style.safetensors'), adapter)
    const out = join(folder, 'out')
    await execute(await planMerge({ base: join(folder, 'flux'), adapters: [{ path: join(folder, 'style.safetensors') }], out }))
    const original = modelOf(FACTS.flux)
    assertSame(
      Object.fromEntries(readSafetensors(join(out, 'transformer'))),
      converted(FACTS.flux, await merge(t, original, adapterOf(FACTS.flux, 'original', lora))),
    )
    const expected = (base: Tensors, name: string, key: string, shape: readonly number[]): Map<string, Float64Array> => {
      const weight = base[`${name}.weight`]
      assert.ok(weight)
      return new Map([[`${name}.weight`, added(weight, loraDelta(adapter, { key, shape, rank: 3, alpha: 1.5 }))]])
    }
    assertMerged(readSafetensors(join(out, 'text_encoder')), clip, expected(clip, fc, `lora_te1_${flat(fc)}`, [16, 4]))
    assertMerged(readSafetensors(join(out, 'text_encoder_2')), t5, expected(t5, q, `lora_te3_${flat(q)}`, [4, 4]))
    const some = async (...components: string[]): Promise<string> => {
      const to = join(folder, components.join())
      await execute(await planMerge({ base: join(folder, 'flux'), adapters: [{ path: join(folder, 'style.safetensors') }], out: to, components }))
      return to
    }
    const mergedWeights = readFileSync(join(out, 'transformer', 'diffusion_pytorch_model.safetensors'))
    for (const name of ['transformer', 'unet']) {
      const to = await some(name) // the pipeline's name of it, and the adapter's
      assert.deepEqual(readFileSync(join(to, 'transformer', 'diffusion_pytorch_model.safetensors')), mergedWeights)
      for (const other of ['text_encoder', 'text_encoder_2'])
        assert.deepEqual(readFileSync(join(to, other, 'model.safetensors')), readFileSync(join(folder, 'flux', other, 'model.safetensors')))
    }
    const to = await some('text_encoder_2')
    assert.deepEqual(readFileSync(join(to, 'text_encoder_2', 'model.safetensors')), readFileSync(join(out, 'text_encoder_2', 'model.safetensors')))
    assert.deepEqual(readFileSync(join(to, 'text_encoder', 'model.safetensors')), readFileSync(join(folder, 'flux', 'text_encoder', 'model.safetensors')))
  })
})

function stripped(tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([key, tensor]) => [key.slice('x.'.length), tensor]))
}

describe('the made UNets of these tests', () => {
  for (const [title, plan, digest] of [
    ['Stable Diffusion 1.5', SD15, FACTS.unets.sd15],
    ['SDXL', SDXL, FACTS.unets.sdxl],
  ] as const) {
    it(`have the real names of ${title}, both of each module`, () => {
      const lines = unetModules(plan).map((module) => `${module.diffusers}=${module.original}`)
      assert.equal(lines.length, digest.modules)
      assert.equal(createHash('sha256').update(lines.sort().join('\n')).digest('hex'), digest.sha256)
    })
  }
})
