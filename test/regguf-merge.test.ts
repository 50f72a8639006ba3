/** Adapters merged into a GGUF file that keeps its types: what is touched is right, and everything else is the same byte. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { isBlockType } from '../src/core/quant-types.js'
import { UnsupportedError } from '../src/core/errors.js'
import { execute, planGguf, planMerge, type AdapterOption, type GgufOptions, type Plan } from '../src/index.js'
import { encodeGgufHeader } from '../src/formats/gguf/header-writer.js'
import { PLAIN_ARITHMETIC } from '../src/engine/arithmetic.js'
import type { EncodedType, ReadableType } from '../src/core/arithmetic.js'
import type { AnyFileType } from '../src/quantize/file-types.js'
import { readGguf, type GgufFile, type GgufFileTensor } from './support/gguf-file.js'
import { assertReadsAlike } from './support/gguf-peer.js'
import { readSafetensors, valuesOf } from './support/plain-tensors.js'
import { smallLlamaModules, writeSmallLlama } from './support/small-llama.js'
import { merged, unpacked } from './support/straight-math.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

async function made(outfile: string, options: Omit<GgufOptions, 'outfile'>): Promise<Plan> {
  const plan = await planGguf({ modelfile: false, receipt: false, ...options, outfile })
  await execute(plan)
  return plan
}

/** A small llama as GGUF of a type. */
async function baseGguf(folder: string, type: AnyFileType): Promise<string> {
  const model = writeSmallLlama(folder, () => 'F32', 'model')
  const path = join(folder, 'base.gguf')
  await made(path, { model, noVocab: true, outtype: type })
  return path
}

/** On rows of 256, 128 and 32 elements, rope's order among them. */
function adapterIn(folder: string, config: object = {}, name = 'adapter', rank = 4): string {
  const modules = { ...smallLlamaModules(0, 'q_proj', 'v_proj', 'o_proj'), ...smallLlamaModules(1, 'k_proj', 'v_proj', 'down_proj') }
  return writeAdapter(join(folder, name), { modules, rank, config })
}

/** The bytes of a file outside of some tensors. */
function outside(path: string, { tensors }: GgufFile, names: ReadonlySet<string>): Buffer {
  const file = Buffer.from(readFileSync(path))
  for (const { name, offset, bytes } of tensors) if (names.has(name)) file.fill(0, offset, offset + bytes.byteLength)
  return file
}

function assertSameBytes(one: Uint8Array, two: Uint8Array, what = ''): void {
  assert.equal(one.byteLength, two.byteLength, what)
  assert.equal(
    one.findIndex((byte, i) => byte !== two[i]),
    -1,
    what,
  )
}

/** The values of a tensor as f32. */
function decoded({ type, bytes, shape }: GgufFileTensor): Float32Array {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1))
  const stored = isBlockType(type) ? type : type.toUpperCase()
  PLAIN_ARITHMETIC.widen(stored as ReadableType, new Uint8Array(bytes), values)
  return values
}

describe('adapters in a GGUF that keeps its types', () => {
  for (const type of ['f32', 'f16', 'bf16', 'q8_0', 'q5_1', 'q4_0', 'q4_k_m', 'q6_k', 'q2_k', 'iq4_xs', 'tq2_0'] as const) {
    it(`changes nothing but the touched tensors of ${type}, and those are dequantized, merged and encoded again`, async (t) => {
      const folder = workspace(t, 'regguf')
      const [base, path, out] = [await baseGguf(folder, type), adapterIn(folder), join(folder, 'out.gguf')]
      const plan = await made(out, { model: base, adapters: [{ path, weight: 0.5 }] })
      const [before, after] = [await readGguf(base), await readGguf(out)]
      const touched = new Set(plan.tensors.filter(({ applied }) => applied.length > 0).map(({ name }) => name))
      assert.equal(touched.size, 6)
      assertSameBytes(outside(base, before, touched), outside(out, after, touched))
      await assertReadsAlike(out, after)

      // V and the feed-forward keep the order of rows
      const factors = new Map([...readSafetensors(path)].map(([name, tensor]) => [name.replace('base_model.model.', ''), unpacked(tensor.dtype, tensor.bytes)]))
      for (const [name, module] of [
        ['blk.0.attn_v.weight', 'model.layers.0.self_attn.v_proj'],
        ['blk.0.attn_output.weight', 'model.layers.0.self_attn.o_proj'],
        ['blk.1.ffn_down.weight', 'model.layers.1.mlp.down_proj'],
      ] as const) {
        const tensor = before.tensor(name)
        const [rows = 0, cols = 0] = tensor.shape
        const [A = assert.fail(), B = assert.fail()] = [factors.get(`${module}.lora_A.weight`), factors.get(`${module}.lora_B.weight`)]
        const { values } = merged(decoded(tensor), rows, cols, [{ A, B, rank: 4, scale: 1 }]) // alpha 8 of rank 4, by half
        const wanted = new Uint8Array(tensor.bytes.byteLength)
        PLAIN_ARITHMETIC.encode(tensor.type as EncodedType, values, wanted, cols)
        assertSameBytes(after.tensor(name).bytes, wanted, name)
      }
    })
  }

  it('copies the file and warns when no adapter has a weight', async (t) => {
    const folder = workspace(t, 'regguf')
    const [model, path] = [await baseGguf(folder, 'q8_0'), adapterIn(folder)]
    const { warnings } = await made(join(folder, 'out.gguf'), { model, adapters: [{ path, weight: 0 }] })
    assert.deepEqual(warnings, ['no adapter has a weight other than 0: the output equals the base'])
    assertSameBytes(readFileSync(join(folder, 'out.gguf')), readFileSync(model))
    assert.deepEqual((await planGguf({ model, adapters: [{ path }], outfile: join(folder, 'other.gguf') })).warnings, [])
  })

  for (const [what, config, scale] of [
    ['rsLoRA', { use_rslora: true }, () => 8 / Math.sqrt(4)],
    [
      'an alpha_pattern',
      { alpha_pattern: { v_proj: 48, 'layers.1.self_attn.k_proj': 2 } },
      (module: string) => (module.endsWith('v_proj') ? 48 : module.endsWith('1.self_attn.k_proj') ? 2 : 8) / 4,
    ],
  ] as const) {
    it(`equals merging to f32 and converting for ${what}, and that a float64 recomputation`, async (t) => {
      const folder = workspace(t, 'regguf-scale')
      const [base, path] = [await baseGguf(folder, 'f32'), adapterIn(folder, config)]
      const adapters: readonly AdapterOption[] = [{ path }]
      await made(join(folder, 'one.gguf'), { model: base, adapters })
      await execute(await planMerge({ base: join(folder, 'model'), adapters, out: join(folder, 'merged'), dtype: 'F32' }))
      await made(join(folder, 'steps.gguf'), { model: join(folder, 'merged'), noVocab: true, outtype: 'f32' })
      const [one, steps] = [await readGguf(join(folder, 'one.gguf')), await readGguf(join(folder, 'steps.gguf'))]
      for (const { name, bytes } of steps.tensors) assertSameBytes(one.tensor(name).bytes, bytes, name)

      const [weights, result, factors] = [join(folder, 'model'), join(folder, 'merged'), path].map(readSafetensors)
      let changed = 0
      for (const [name, tensor] of result ?? assert.fail()) {
        const module = name.replace(/\.weight$/, '')
        const A = factors?.get(`base_model.model.${module}.lora_A.weight`)
        const B = factors?.get(`base_model.model.${module}.lora_B.weight`)
        const before = valuesOf(weights?.get(name) ?? assert.fail(name))
        if (A === undefined || B === undefined) continue
        changed++
        const [a, b, cols] = [valuesOf(A), valuesOf(B), A.shape[1] ?? 0]
        valuesOf(tensor).forEach((value, i) => {
          let sum = 0
          for (let k = 0; k < 4; k++) sum += (b[Math.floor(i / cols) * 4 + k] ?? 0) * (a[k * cols + (i % cols)] ?? 0)
          const exact = (before[i] ?? 0) + scale(module) * sum
          assert.ok(Math.abs(value - exact) <= 1e-6 + 2 ** -22 * Math.abs(exact), `${name} ${i}: ${value} for ${exact}`)
        })
      }
      assert.equal(changed, 6)
    })
  }

  it('are added in one sum when there are several, as into a folder', async (t) => {
    const folder = workspace(t, 'regguf-two')
    const base = await baseGguf(folder, 'f32')
    const adapters = [{ path: adapterIn(folder, {}, 'one') }, { path: adapterIn(folder, {}, 'two', 3), weight: -0.25 }]
    await made(join(folder, 'one.gguf'), { model: base, adapters })
    await made(join(folder, 'steps.gguf'), { model: join(folder, 'model'), noVocab: true, adapters, outtype: 'f32' })
    const [one, steps] = [await readGguf(join(folder, 'one.gguf')), await readGguf(join(folder, 'steps.gguf'))]
    for (const { name, bytes } of steps.tensors) assertSameBytes(one.tensor(name).bytes, bytes, name)
  })
})

/** The file with other metadata, laid out by its alignment. */
function rewritten(path: string, file: GgufFile, keyValues: GgufFile['keyValues'], alignment = 32): string {
  const header = encodeGgufHeader({ keyValues, tensors: file.tensors.map((tensor) => ({ ...tensor, byteLength: tensor.bytes.byteLength })), alignment })
  const bytes = new Uint8Array(header.fileSize)
  bytes.set(header.bytes)
  file.tensors.forEach((tensor, i) => bytes.set(tensor.bytes, header.offsets[i]))
  writeFileSync(path, bytes)
  return path
}

describe('a GGUF file as input', () => {
  async function files(t: TestContext, type: AnyFileType = 'q8_0') {
    const folder = workspace(t, 'regguf-input')
    const base = await baseGguf(folder, type)
    return { folder, base, path: adapterIn(folder), out: join(folder, 'out.gguf') }
  }

  it('of version 2 becomes version 3, everything else the same', async (t) => {
    const { folder, base, path, out } = await files(t)
    const old = readFileSync(base)
    old.writeUInt32LE(2, 4)
    writeFileSync(join(folder, 'v2.gguf'), old)
    await made(out, { model: join(folder, 'v2.gguf'), adapters: [{ path }] })
    await made(join(folder, 'v3-out.gguf'), { model: base, adapters: [{ path }] })
    assertSameBytes(readFileSync(out), readFileSync(join(folder, 'v3-out.gguf')))
  })

  it('keeps an alignment of 64; of a split only in the first part, for readers think 32 where it is not said', async (t) => {
    const { folder, base, path, out } = await files(t)
    const plain = await readGguf(base)
    const wide = rewritten(join(folder, 'wide.gguf'), plain, [...plain.keyValues, { key: 'general.alignment', value: { type: 'u32', value: 64 } }], 64)
    await made(out, { model: wide })
    assertSameBytes(readFileSync(out), readFileSync(wide))
    await made(join(folder, 'merged.gguf'), { model: wide, adapters: [{ path }], outtype: 'q4_0', quantize: { allowRequantize: true } })
    const merged64 = await readGguf(join(folder, 'merged.gguf'))
    assert.ok(merged64.alignment === 64 && merged64.tensors.every(({ offset }) => offset % 64 === 0))
    await assertReadsAlike(join(folder, 'merged.gguf'), merged64)

    const { files: parts } = await made(join(folder, 'split.gguf'), { model: wide, split: { maxTensors: 7 } })
    assert.equal(parts.length, 3)
    const names: string[] = []
    for (const { name } of parts) {
      const part = await readGguf(join(folder, name))
      await assertReadsAlike(join(folder, name), part)
      for (const tensor of part.tensors) assertSameBytes(tensor.bytes, plain.tensor(tensor.name).bytes, tensor.name)
      names.push(...part.tensors.map((tensor) => tensor.name))
    }
    assert.deepEqual(
      names,
      plain.tensors.map(({ name }) => name),
    )
  })

  it('in parts is joined, or keeps its parts, and gives the tensors that the whole file gives', async (t) => {
    const { folder, base, path, out } = await files(t, 'q4_k_m')
    await made(join(folder, 'split.gguf'), { model: base, split: { maxTensors: 8 } })
    const part = join(folder, 'split-00002-of-00003.gguf')
    await made(join(folder, 'whole-out.gguf'), { model: base, adapters: [{ path }] })
    await made(out, { model: part, adapters: [{ path }] })
    const [whole, joined] = [await readGguf(join(folder, 'whole-out.gguf')), await readGguf(out)]
    assert.deepEqual(
      joined.tensors.map(({ name }) => name),
      whole.tensors.map(({ name }) => name),
    )
    for (const { name, bytes } of joined.tensors) assertSameBytes(bytes, whole.tensor(name).bytes, name)
    assert.deepEqual(joined.keyValues.slice(0, whole.keyValues.length), whole.keyValues)
    assert.deepEqual(
      joined.keyValues.slice(whole.keyValues.length).map(({ key, value }) => [key, value.value]),
      [
        ['split.no', 0],
        ['split.tensors.count', whole.tensors.length],
        ['split.count', 0],
      ],
    )
    const { files: kept } = await made(join(folder, 'kept.gguf'), { model: part, adapters: [{ path }], keepSplit: true })
    for (const [i, { name }] of kept.entries()) {
      const [before, after] = [await readGguf(join(folder, `split-0000${i + 1}-of-00003.gguf`)), await readGguf(join(folder, name))]
      assert.deepEqual(
        after.tensors.map((tensor) => [tensor.name, tensor.type, tensor.offset]),
        before.tensors.map((tensor) => [tensor.name, tensor.type, tensor.offset]),
      )
      for (const tensor of after.tensors) assertSameBytes(tensor.bytes, whole.tensor(tensor.name).bytes, tensor.name)
    }
  })

  it('of an architecture that is not converted can be quantized, but takes no adapter', async (t) => {
    const { folder, base, path, out } = await files(t, 'f16')
    const plain = await readGguf(base)
    const renamed = plain.keyValues.map(({ key, value }) =>
      key === 'general.architecture' ? { key, value: { type: 'string', value: 'nobody' } as const } : { key: key.replace(/^llama\./, 'nobody.'), value },
    )
    const model = rewritten(join(folder, 'nobody.gguf'), plain, renamed)
    await made(out, { model, outtype: 'q4_k_m' })
    await made(join(folder, 'llama.gguf'), { model: base, outtype: 'q4_k_m' })
    const [one, two] = [await readGguf(out), await readGguf(join(folder, 'llama.gguf'))]
    for (const { name, bytes } of two.tensors) assertSameBytes(one.tensor(name).bytes, bytes, name)
    await assert.rejects(
      planGguf({ model, adapters: [{ path }], outfile: join(folder, 'no.gguf') }),
      (error) => error instanceof UnsupportedError && /architecture "nobody"/.test(error.message),
    )
  })

  it('that is an adapter is refused as a model, and as a LoRA unless it is one', async (t) => {
    const { folder, base } = await files(t, 'f16')
    const plain = await readGguf(base)
    const model = rewritten(
      join(folder, 'lora.gguf'),
      plain,
      plain.keyValues.map(({ key, value }) => (key === 'general.type' ? { key, value: { type: 'string', value: 'adapter' } as const } : { key, value })),
    )
    await assert.rejects(
      planGguf({ model, outtype: 'q8_0' }),
      (error) => error instanceof UnsupportedError && /type "adapter"; a model is wanted/.test(error.message),
    )
    await assert.rejects(
      planGguf({ model: base, adapters: [{ path: model }] }),
      (error) => error instanceof UnsupportedError && /GGUF adapter of type none; only lora/.test(error.message),
    )
  })
})
