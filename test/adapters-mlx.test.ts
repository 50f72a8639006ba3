/** MLX-LM's adapters, whose factors stand the other way round: every kind of layer, and every way that its config has said the scale. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { FormatError, MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { execute, planMerge } from '../src/index.js'
import { assertNear, at, matrix, plus, rowsFrom, seeded, tensorOf, times, turned, type Matrix } from './support/dense.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

type Tensors = Readonly<Record<string, PlainTensor>>
const RANK = 3
const SCALE = 2.5
const NEW = { fine_tune_type: 'lora', num_layers: 1, lora_parameters: { rank: RANK, scale: SCALE, dropout: 0 } }

async function merged(
  t: TestContext,
  base: Tensors,
  adapter: Tensors,
  make: { config?: object; model?: object; alpha?: number } = {},
): Promise<Map<string, PlainTensor>> {
  const root = workspace(t, 'mlx')
  const model = writeSideFiles(join(root, 'base'), { 'config.json': make.model ?? { model_type: 'llama' } })
  const folder = writeSideFiles(join(root, 'adapter'), { 'adapter_config.json': make.config ?? NEW })
  writeSafetensors(join(model, 'model.safetensors'), base)
  writeSafetensors(join(folder, 'adapters.safetensors'), adapter)
  const out = join(root, 'out')
  await execute(await planMerge({ base: model, adapters: [{ path: folder }], out, alpha: make.alpha, tileElements: 64 }), { threads: 2 })
  assert.equal(existsSync(join(out, 'adapter_config.json')), false)
  const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as { tie_word_embeddings?: boolean }
  assert.notEqual(config.tie_word_embeddings, false)
  return readSafetensors(out)
}

/** `lora_a` (in x r) and `lora_b` (r x out): what they are in the file, and their product (in x out). */
function factors(module: string, seed: number, inputs: number, out: number): { file: Tensors; product: Matrix } {
  const [a, b] = [seeded(seed, inputs, RANK), seeded(seed + 1, RANK, out)]
  return { file: { [`${module}.lora_a`]: tensorOf(a), [`${module}.lora_b`]: tensorOf(b) }, product: times(a, b) }
}

/** Each row of V made as long as `m` says. */
const lengthened = (V: Matrix, m: readonly number[]): Matrix =>
  V.map((row, i) => row.map((value) => (value * (m[i] ?? 0)) / Math.sqrt(row.reduce((sum, one) => sum + one * one, 0))))

describe('MLX-LM adapters', () => {
  it('merge linear layers with scale as it is, square ones too', async (t) => {
    const [wide, square] = [factors('model.layers.0.mlp.up_proj', 1, 10, 14), factors('model.layers.0.self_attn.q_proj', 3, 10, 10)]
    const [W, Q] = [seeded(5, 14, 10), seeded(6, 10, 10)]
    const base = { 'model.layers.0.mlp.up_proj.weight': tensorOf(W), 'model.layers.0.self_attn.q_proj.weight': tensorOf(Q) }
    const all = await merged(t, base, { ...wide.file, ...square.file })
    assertNear('up', all.get('model.layers.0.mlp.up_proj.weight'), plus(W, turned(wide.product), SCALE))
    assertNear('q', all.get('model.layers.0.self_attn.q_proj.weight'), plus(Q, turned(square.product), SCALE))
  })

  it('merge into GPT-2, which stores its matrices (in x out), the square ones by what their neighbours show', async (t) => {
    const [fc, proj] = [factors('model.h.0.mlp.c_fc', 1, 10, 14), factors('model.h.0.attn.c_proj', 3, 10, 10)]
    const [W, P] = [seeded(5, 10, 14), seeded(6, 10, 10)]
    const base = { 'h.0.mlp.c_fc.weight': tensorOf(W), 'h.0.mlp.c_fc.bias': tensorOf(seeded(7, 14, 1), [14]), 'h.0.attn.c_proj.weight': tensorOf(P) }
    const all = await merged(t, base, { ...fc.file, ...proj.file })
    assertNear('fc', all.get('h.0.mlp.c_fc.weight'), plus(W, fc.product, SCALE))
    assertNear('proj', all.get('h.0.attn.c_proj.weight'), plus(P, proj.product, SCALE))
  })

  for (const vocabulary of [23, 10])
    it(`merge an embedding of ${vocabulary} tokens at both ends of a tied model, for MLX trains it so`, async (t) => {
      const lora = factors('model.embed_tokens', 1, vocabulary, 10)
      const W = seeded(5, vocabulary, 10)
      const model = { architectures: ['LlamaForCausalLM'], model_type: 'llama', tie_word_embeddings: true }
      const all = await merged(t, { 'model.embed_tokens.weight': tensorOf(W) }, lora.file, { model })
      assertNear('embed', all.get('model.embed_tokens.weight'), plus(W, lora.product, SCALE))
      assert.equal(all.has('lm_head.weight'), false)
    })

  it('merge DoRA by the length of outputs, and of tokens for embeddings', async (t) => {
    const [q, embed] = [factors('model.layers.0.self_attn.q_proj', 1, 10, 14), factors('model.embed_tokens', 3, 23, 10)]
    const [W, E] = [seeded(5, 14, 10), seeded(6, 23, 10)]
    const [mq, me] = [seeded(7, 1, 14)[0] ?? [], seeded(8, 1, 23)[0] ?? []]
    const file = { ...q.file, ...embed.file, 'model.layers.0.self_attn.q_proj.m': tensorOf([mq], [14]), 'model.embed_tokens.m': tensorOf([me], [23]) }
    const base = { 'model.layers.0.self_attn.q_proj.weight': tensorOf(W), 'model.embed_tokens.weight': tensorOf(E) }
    const all = await merged(t, base, file, { config: { ...NEW, fine_tune_type: 'dora' } })
    assertNear('q', all.get('model.layers.0.self_attn.q_proj.weight'), lengthened(plus(W, turned(q.product), SCALE), mq))
    assertNear('embed', all.get('model.embed_tokens.weight'), lengthened(plus(E, embed.product, SCALE), me))
  })

  it('merge all experts at once, apart under either name or fused', async (t) => {
    const [experts, inputs, out] = [3, 8, 6]
    const parts = ['gate_proj', 'up_proj', 'down_proj'].map((part, i) => {
      const [rows, cols] = part === 'down_proj' ? [inputs, out] : [out, inputs]
      const [A, B] = [seeded(10 * i + 1, experts * RANK, cols), seeded(10 * i + 2, experts * rows, RANK)]
      const delta = (e: number): Matrix => times(rowsFrom(B, e * rows, rows), rowsFrom(A, e * RANK, RANK))
      const W = Array.from({ length: experts }, (_, e) => seeded(100 * i + e + 3, rows, cols))
      return {
        part,
        rows,
        cols,
        W,
        expected: W.map((one, e) => plus(one, delta(e), SCALE)),
        A: tensorOf(A, [experts, RANK, cols]),
        B: tensorOf(B, [experts, rows, RANK]),
      }
    })
    const adapter = (container: string): Tensors =>
      Object.fromEntries(parts.flatMap(({ part, A, B }) => [[`${container}.switch_mlp.${part}.lora_a`, A], [`${container}.switch_mlp.${part}.lora_b`, B]])) // prettier-ignore
    for (const [container, names] of [
      ['mlp', ['gate_proj', 'up_proj', 'down_proj']],
      ['block_sparse_moe', ['w1', 'w3', 'w2']],
    ] as const) {
      // prettier-ignore
      const path = `model.layers.0.${container}`
      const name = (i: number, e: number): string => `${path}.experts.${e}.${names[i]}.weight`
      const base = Object.fromEntries(parts.flatMap(({ W }, i) => W.map((one, e) => [name(i, e), tensorOf(one)])))
      const all = await merged(t, base, adapter(path))
      parts.forEach(({ expected }, i) => expected.forEach((one, e) => assertNear(name(i, e), all.get(name(i, e)), one)))
    }
    const [gate, up, down] = parts
    assert.ok(gate !== undefined && up !== undefined && down !== undefined)
    const stacked = (one: readonly Matrix[], two: readonly Matrix[]): Matrix => one.flatMap((rows, e) => [...rows, ...(two[e] ?? [])])
    const fused = { gate_up_proj: tensorOf(stacked(gate.W, up.W), [experts, 2 * out, inputs]), down_proj: tensorOf(down.W.flat(), [experts, inputs, out]) }
    const base = Object.fromEntries(Object.entries(fused).map(([name, tensor]) => [`model.layers.0.mlp.experts.${name}`, tensor]))
    const all = await merged(t, base, adapter('model.layers.0.mlp'))
    assertNear('gate_up', all.get('model.layers.0.mlp.experts.gate_up_proj'), stacked(gate.expected, up.expected))
    assertNear('down', all.get('model.layers.0.mlp.experts.down_proj'), down.expected.flat())
  })

  it('take the scale as each version of MLX-LM meant it, and ask where two meant something else', async (t) => {
    const lora = factors('fc', 1, 10, 14)
    const W = seeded(5, 14, 10)
    const scaleOf = async (config: object, alpha?: number): Promise<number> => {
      const all = await merged(t, { 'fc.weight': tensorOf(W) }, lora.file, { config, ...(alpha === undefined ? {} : { alpha }) })
      const { bytes = new Uint8Array() } = all.get('fc.weight') ?? {}
      return Math.round(((new Float32Array(bytes.slice().buffer)[0] ?? 0) - at(W, 0, 0)) / at(turned(lora.product), 0, 0) * 1000) / 1000 // prettier-ignore
    }
    const old = (parameters: object): object => ({ lora_layers: 4, lora_parameters: { rank: RANK, ...parameters } })
    assert.equal(await scaleOf(NEW), SCALE)
    assert.equal(await scaleOf({ ...NEW, lora_parameters: { rank: RANK, scale: 10, alpha: 16 } }), 10)
    assert.equal(await scaleOf(old({ scale: 4 })), 4)
    assert.equal(await scaleOf(old({ alpha: 6 })), 2)
    await assert.rejects(
      scaleOf(old({ scale: 10, alpha: 6 })),
      (error) => error instanceof MismatchError && /20 before August 2024, 10 after.*--alpha 60.*--alpha 30/.test(error.message),
    )
    assert.equal(await scaleOf(old({ scale: 10, alpha: 6 }), 60), 20)
    assert.equal(await scaleOf(old({ scale: 10, alpha: 6 }), 30), 10)
    await assert.rejects(scaleOf(NEW, 16), UsageError)
    await assert.rejects(scaleOf(old({})), (error) => error instanceof FormatError && /neither "scale" nor "alpha"/.test(error.message))
  })

  it('are refused when something is missing, left over, or no LoRA', async (t) => {
    const { 'fc.lora_a': a, 'fc.lora_b': b } = factors('fc', 1, 10, 14).file
    assert.ok(a !== undefined && b !== undefined)
    const base = { 'fc.weight': tensorOf(seeded(5, 14, 10)) }
    const fault = (
      adapter: Tensors,
      config: object,
      kind: typeof FormatError | typeof MismatchError | typeof UnsupportedError,
      reason: RegExp,
    ): Promise<void> => assert.rejects(merged(t, base, adapter, { config }), (error) => error instanceof kind && reason.test(error.message))
    const both = { 'fc.lora_a': a, 'fc.lora_b': b }
    await fault({ 'fc.lora_a': a }, NEW, MismatchError, /no partner "fc\.lora_b"/)
    await fault({ ...both, 'fc.lora_c': a }, NEW, MismatchError, /"fc\.lora_c".*left over/)
    await fault({ ...both, 'fc.m': tensorOf(seeded(1, 14, 1), [14]) }, NEW, MismatchError, /no DoRA/)
    await fault(both, { ...NEW, fine_tune_type: 'dora' }, MismatchError, /no partner "fc\.m"/)
    await fault(both, { ...NEW, fine_tune_type: 'full' }, UnsupportedError, /mlx_lm\.fuse/)
    await fault(both, { ...NEW, lora_parameters: { rank: 4, scale: 1 } }, MismatchError, /ranks 3 and 3, but adapter_config\.json says 4/)
    await fault(both, { ...NEW, lora_parameters: { rank: 3, scale: 'x' } }, FormatError, /"scale" must be a finite number/)
    await fault({ 'fc.lora_a': b, 'fc.lora_b': a }, NEW, MismatchError, /ranks/)
    const other = factors('fc', 1, 9, 14).file
    await fault(other, NEW, MismatchError, /lora_a and lora_b give \[14, 9\]/)
    const three = {
      'fc.lora_a': tensorOf(
        matrix(3, 10, () => 1),
        [1, 3, 10],
      ),
      'fc.lora_b': tensorOf(
        matrix(14, 3, () => 1),
        [1, 14, 3],
      ),
    }
    await fault(three, NEW, UnsupportedError, /2 dimensions are known/)
  })
})

describe('golden MLX adapters', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const folder = join(GOLDEN ?? '', 'merge', 'foreign_formats', 'mlx')
  it('change what they change as MLX-LM does', { skip: !existsSync(folder) }, async (t) => {
    const out = join(workspace(t), 'merged')
    const base = join(GOLDEN ?? '', 'merge', 'llama_plain_r8', 'base')
    await execute(await planMerge({ base, adapters: [{ path: folder }], out }))
    const [ours, before, expected] = [readSafetensors(out), readSafetensors(base), readSafetensors(join(folder, 'expected_changed.safetensors'))]
    for (const [name, { bytes }] of before) {
      const changed = expected.get(name)
      if (changed === undefined) assert.deepEqual(ours.get(name)?.bytes, bytes, name)
      else assertNear(name, ours.get(name), [[...new Float32Array(changed.bytes.slice().buffer)]])
    }
  })
})
