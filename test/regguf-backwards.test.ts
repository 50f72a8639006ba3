/** Adapters in GGUFs whose tensors are turned, stacked, split or changed: several at once, in quantized types, and what cannot be had back. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { UnsupportedError } from '../src/core/errors.js'
import type { EncodedType, ReadableType } from '../src/core/arithmetic.js'
import { PLAIN_ARITHMETIC } from '../src/engine/arithmetic.js'
import { execute, planGguf, planMerge, type AdapterOption, type GgufOptions, type Plan } from '../src/index.js'
import { architectureFixtures, writeArchitectureModel } from './support/architecture-fixtures.js'
import { readGguf, type GgufFile, type GgufFileTensor } from './support/gguf-file.js'
import { writeGgufLora } from './support/gguf-lora-file.js'
import { readSafetensors, valuesOf, writeSafetensors } from './support/plain-tensors.js'
import { merged, Seeded } from './support/straight-math.js'
import { seededTensor, writeAdapter, writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

interface Made {
  readonly file: GgufFile
  readonly plan: Plan
}

/** A model of the fixtures, and what becomes of it. */
function given(t: TestContext, name: string) {
  const root = workspace(t, 'regguf-backwards')
  const fixture = architectureFixtures().find((one) => one.case === name) ?? assert.fail(name)
  const model = writeArchitectureModel(root, fixture)
  let count = 0
  const make = async (from: string, adapters: readonly AdapterOption[] = [], options: Partial<GgufOptions> = {}): Promise<Made & { path: string }> => {
    const outfile = join(root, `${count++}.gguf`)
    const ofFolder = from === model ? ({ noVocab: true, outtype: 'f32' } as const) : {}
    const plan = await planGguf({ modelfile: false, receipt: false, ...ofFolder, ...options, model: from, adapters, outfile })
    await execute(plan, { threads: 1 })
    return { plan, path: outfile, file: await readGguf(outfile) }
  }
  return { root, model, make, tensors: readSafetensors(model) }
}

function differing(one: GgufFile, two: GgufFile): string[] {
  return one.tensors.filter(({ name, bytes }) => Buffer.compare(bytes, two.tensor(name).bytes) !== 0).map(({ name }) => name)
}

function decoded({ type, bytes, shape }: GgufFileTensor): Float32Array {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1))
  PLAIN_ARITHMETIC.widen((type.startsWith('q') ? type : type.toUpperCase()) as ReadableType, new Uint8Array(bytes), values)
  return values
}

function operations(program: unknown): string[] {
  if (typeof program !== 'object' || program === null) return []
  const inner = Object.entries(program).flatMap(([key, value]) => (key === 'tensor' ? [] : operations(value)))
  return 'op' in program && typeof program.op === 'string' ? [program.op, ...inner] : inner
}

describe('an adapter in a GGUF that holds tensors otherwise than the checkpoint', () => {
  it('changes queries, keys and values that were one matrix, with one in GGUF beside it; and no tensor of the same name on the other side', async (t) => {
    const { root, model, make } = given(t, 'InternLM2ForCausalLM')
    const base = await make(model)
    const fused = base.file.tensor('blk.0.attn_q.weight').shape[0] ?? 0
    const [rows, width] = [fused + 2 * (base.file.tensor('blk.0.attn_k.weight').shape[0] ?? 0), base.file.tensor('blk.0.attn_q.weight').shape[1] ?? 0]
    const peft = writeAdapter(join(root, 'peft'), {
      modules: { 'model.layers.0.attention.wqkv': [rows, width], output: base.file.tensor('output.weight').shape as [number, number] },
    })
    const values = (count: number, seed: number): Float64Array => new Seeded(seed).weights(count, 0.1)
    const lora = writeGgufLora(
      join(root, 'lora.gguf'),
      [
        { name: 'blk.0.attn_q.weight.lora_a', shape: [2, width], values: values(2 * width, 1) },
        { name: 'blk.0.attn_q.weight.lora_b', shape: [fused, 2], values: values(2 * fused, 2) },
        { name: 'blk.1.attn_k.weight.lora_a', shape: [2, width], values: values(2 * width, 3) },
        { name: 'blk.1.attn_k.weight.lora_b', shape: [(rows - fused) / 2, 2], values: values(rows - fused, 4) },
      ],
      { architecture: 'internlm2', alpha: 2 },
    )
    const adapters = [{ path: peft }, { path: lora, weight: 0.5 }]
    const [into, ofFolder] = [await make(base.path, adapters), await make(model, adapters)]
    assert.deepEqual(differing(into.file, ofFolder.file), [])
    const folder = join(root, 'merged')
    await execute(await planMerge({ base: model, adapters, out: folder, dtype: 'F32', receipt: false }), { threads: 1 })
    const steps = await make(folder, [], { noVocab: true, outtype: 'f32' })
    assert.deepEqual(differing(into.file, steps.file), [], 'through a merged folder')
    assert.deepEqual(differing(base.file, into.file).sort(), [
      ...['attn_k', 'attn_q', 'attn_v'].map((name) => `blk.0.${name}.weight`),
      'blk.1.attn_k.weight',
      'output.weight',
    ])
  })

  for (const type of ['q8_0', 'q4_0'] as const) {
    it(`turns factors, never the matrices: GPT-2 in ${type}`, async (t) => {
      const { root, model, make, tensors } = given(t, 'GPT2LMHeadModel')
      const base = await make((await make(model)).path, [], { outtype: type })
      const name = [...tensors.keys()].find((one) => one.endsWith('h.1.mlp.c_fc.weight')) ?? assert.fail()
      const [inputs = 0, out = 0] = tensors.get(name)?.shape ?? []
      const path = writeAdapter(join(root, 'adapter'), { modules: { [name.slice(0, -'.weight'.length)]: [out, inputs] }, config: { fan_in_fan_out: true } })
      const { file, plan } = await make(base.path, [{ path }])
      assert.deepEqual(differing(base.file, file), ['blk.1.ffn_up.weight'])
      assert.equal(plan.tensors.flatMap(({ program }) => operations(program)).includes('transpose'), false)

      const [A, B] = ['A', 'B'].map((factor) => valuesOf([...readSafetensors(path)].find(([key]) => key.includes(`lora_${factor}`))?.[1] ?? assert.fail()))
      const before = base.file.tensor('blk.1.ffn_up.weight')
      const { values } = merged(decoded(before), out, inputs, [{ A: A ?? assert.fail(), B: B ?? assert.fail(), rank: 4, scale: 2 }])
      const wanted = new Uint8Array(before.bytes.byteLength)
      PLAIN_ARITHMETIC.encode(before.type as EncodedType, values, wanted, inputs)
      assert.equal(Buffer.compare(file.tensor('blk.1.ffn_up.weight').bytes, wanted), 0)
    })
  }

  it('changes one matrix of one expert in a stack of Q8_0, and copies every other tensor', async (t) => {
    const { root, model, make, tensors } = given(t, 'MixtralForCausalLM')
    const base = await make((await make(model)).path, [], { outtype: 'q8_0' })
    const [name, { shape }] = [...tensors].find(([one]) => /layers\.1\..*experts\.2\.w2\.weight$/.test(one)) ?? assert.fail()
    const path = writeAdapter(join(root, 'adapter'), { modules: { [name.slice(0, -'.weight'.length)]: shape as [number, number] } })
    const { file } = await make(base.path, [{ path }])
    assert.deepEqual(differing(base.file, file), ['blk.1.ffn_down_exps.weight'])
  })

  it('replaces norms that the file has plus one', async (t) => {
    const { root, model, make, tensors } = given(t, 'GemmaForCausalLM')
    const base = await make(model)
    const adapter = writeSideFiles(join(root, 'adapter'), {
      'adapter_config.json': { peft_type: 'LORA', r: 2, lora_alpha: 2, target_modules: ['o_proj'], modules_to_save: ['input_layernorm', 'down_proj'] },
    })
    const replaced = ['model.layers.0.input_layernorm.weight', 'model.layers.1.mlp.down_proj.weight']
    const own = replaced.map((name, i) => [`base_model.model.${name}`, seededTensor(i, 'F32', tensors.get(name)?.shape ?? assert.fail(name))] as const)
    const [rows = 0, cols = 0] = tensors.get('model.layers.0.self_attn.o_proj.weight')?.shape ?? []
    const pair = { A: seededTensor(5, 'F32', [2, cols]), B: seededTensor(6, 'F32', [rows, 2]) }
    const factors = Object.entries(pair).map(([factor, tensor]) => [`base_model.model.model.layers.0.self_attn.o_proj.lora_${factor}.weight`, tensor] as const)
    writeSafetensors(join(adapter, 'adapter_model.safetensors'), Object.fromEntries([...own, ...factors]))
    const [into, ofFolder] = [await make(base.path, [{ path: adapter }]), await make(model, [{ path: adapter }])]
    assert.deepEqual(differing(into.file, ofFolder.file), [])
    assert.deepEqual(differing(base.file, into.file).sort(), ['blk.0.attn_norm.weight', 'blk.0.attn_output.weight', 'blk.1.ffn_down.weight'])
  })

  it('is refused by name where values do not come back, and where a tensor would have other rows', async (t) => {
    const falcon = given(t, 'FalconH1ForCausalLM')
    const base = await falcon.make(falcon.model)
    const module = 'model.layers.0.self_attn.k_proj'
    const shape = falcon.tensors.get(`${module}.weight`)?.shape as [number, number]
    const adapter = writeAdapter(join(falcon.root, 'adapter'), { modules: { [module]: shape } })
    await assert.rejects(
      falcon.make(base.path, [{ path: adapter }]),
      (error) => error instanceof UnsupportedError && /k_proj\.weight.*do not come back bit by bit.*folder/.test(error.message),
    )
    const llama = given(t, 'LlamaForCausalLM')
    const [rows = 0, width = 0] = llama.tensors.get('lm_head.weight')?.shape ?? []
    const wider = writeSideFiles(join(llama.root, 'wider'), {
      'adapter_config.json': { peft_type: 'LORA', r: 2, lora_alpha: 2, target_modules: ['o_proj'], modules_to_save: ['lm_head'] },
    })
    const [outputs = 0, inputs = 0] = llama.tensors.get('model.layers.0.self_attn.o_proj.weight')?.shape ?? []
    writeSafetensors(join(wider, 'adapter_model.safetensors'), {
      'base_model.model.lm_head.weight': seededTensor(1, 'F32', [rows + 3, width]),
      'base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight': seededTensor(2, 'F32', [2, inputs]),
      'base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight': seededTensor(3, 'F32', [outputs, 2]),
    })
    await assert.rejects(
      llama.make((await llama.make(llama.model)).path, [{ path: wider }]),
      (error) => error instanceof UnsupportedError && /"lm_head\.weight" \d+ rows instead of \d+.*merge into the folder/.test(error.message),
    )
  })
})
