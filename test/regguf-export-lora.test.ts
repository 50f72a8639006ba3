/** Adapters merged into a GGUF, against llama-export-lora and what llama-quantize made of its files: the same bytes. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { execute, planGguf, planMerge, type GgufOptions, type Plan } from '../src/index.js'
import type { AnyFileType } from '../src/quantize/file-types.js'
import { readGguf, sha256 } from './support/gguf-file.js'
import { readSafetensors, writeSafetensors } from './support/plain-tensors.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { removeWorkspace } from './support/workspace.js'

/** Name, type, dimensions, offset, bytes, sha256. */
type ExportedTensor = readonly [string, string, readonly number[], number, number, string]

interface Expected {
  readonly baseDir: string
  readonly exportLora: Readonly<Record<string, { readonly fileSha256?: string; readonly tensors?: readonly ExportedTensor[] }>>
}

const folder = mkdtempSync(join(tmpdir(), 'l2g-export-lora-'))
after(() => removeWorkspace(folder))
let count = 0

async function made(options: Omit<GgufOptions, 'outfile'>): Promise<{ path: string; plan: Plan }> {
  const path = join(folder, `${count++}.gguf`)
  const plan = await planGguf({ modelfile: false, receipt: false, ...options, outfile: path })
  await execute(plan)
  return { path, plan }
}

describe('merging into a GGUF file', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const root = join(GOLDEN, 'gguf', 'lora-llama')
  const { baseDir, exportLora } = JSON.parse(readFileSync(join(root, 'expected.json'), 'utf8')) as Expected
  const files = new Map<string, Promise<string>>()

  /** The base as a GGUF of a type; q4_k_m by way of f16, as llama-quantize made it. */
  const baseGguf = (type: AnyFileType): Promise<string> => {
    const known =
      files.get(type) ??
      (type === 'q4_k_m' ? baseGguf('f16').then((model) => made({ model, outtype: type })) : made({ model: join(root, baseDir), outtype: type })).then(pathOf)
    files.set(type, known)
    return known
  }

  for (const [label, base, adapter, weight, outtype] of [
    ['base-f32+lora-f32', 'f32', 'adapter-r8', 1, undefined],
    ['base-f16+lora-f32', 'f16', 'adapter-r8', 1, undefined],
    ['base-f16+lora-f32', 'f16', 'adapter-r8', 1, 'f16'],
    ['base-f16+lora-f32*0.5', 'f16', 'adapter-r8', 0.5, undefined],
    ['base-bf16+lora-f32', 'bf16', 'adapter-r8', 1, 'f16'],
    ['base-q8_0+lora-f32', 'q8_0', 'adapter-r8', 1, 'f16'],
    ['base-q4_K_M+lora-f32', 'q4_k_m', 'adapter-r8', 1, 'f16'],
  ] as const) {
    it(`gives llama-export-lora’s tensors of ${label}${outtype === undefined ? ', each in its own type' : ` as ${outtype}`}`, async () => {
      const wanted = new Map((exportLora[label]?.tensors ?? assert.fail(label)).map((row): [string, ExportedTensor] => [row[0], row]))
      const { path, plan } = await made({
        model: await baseGguf(base),
        adapters: [{ path: join(root, adapter), weight }],
        outtype,
        quantize: { allowRequantize: true },
      })
      const touched = plan.tensors.filter(({ applied }) => applied.length > 0)
      assert.ok(touched.length >= 3)
      const file = await readGguf(path)
      for (const { name } of touched) {
        const { type, bytes } = file.tensor(name)
        assert.deepEqual([type.toUpperCase(), sha256(bytes)], [wanted.get(name)?.[1], wanted.get(name)?.[5]], name)
      }
    })
  }

  for (const [outtype, label] of [
    ['q8_0', 'q8_0'],
    ['q4_0', 'q4_0'],
    ['q4_k_m', 'q4_K_M'],
  ] as const) {
    it(`and quantizing in the same pass gives the file of llama-export-lora and llama-quantize as ${label}`, async () => {
      const { path } = await made({ model: await baseGguf('f16'), adapters: [{ path: join(root, 'adapter-r8') }], outtype })
      assert.equal(sha256(readFileSync(path)), exportLora[`base-f16+lora-f32->${label}`]?.fileSha256)
    })
  }

  // adapters that the reference scales wrongly
  for (const adapter of ['adapter-rslora', 'adapter-pattern', 'adapter-qv-r4-bf16']) {
    it(`gives the tensors of merging to f32 and converting for ${adapter}`, async () => {
      const path = withoutWholeTensors(join(root, adapter), join(folder, adapter))
      const merged = join(folder, `merged-${adapter}`)
      await execute(await planMerge({ base: join(root, baseDir), adapters: [{ path }], out: merged, dtype: 'F32' }))
      const steps = await readGguf((await made({ model: merged, outtype: 'f32' })).path)
      const { path: one, plan } = await made({ model: await baseGguf('f32'), adapters: [{ path }] })
      const file = await readGguf(one)
      assert.ok(plan.tensors.some(({ applied }) => applied.length > 0))
      for (const { name, type, bytes } of file.tensors) {
        assert.equal(type, steps.tensor(name).type)
        assert.ok(bytes.equals(steps.tensor(name).bytes), name)
      }
    })
  }
})

const pathOf = ({ path }: { path: string }): string => path

/** PEFT saves the base's own lm_head beside a LoRA on it, which says nothing new. */
function withoutWholeTensors(adapter: string, copy: string): string {
  cpSync(adapter, copy, { recursive: true })
  const tensors = [...readSafetensors(adapter)].filter(([name]) => !name.includes('.base_layer.'))
  writeSafetensors(join(copy, 'adapter_model.safetensors'), Object.fromEntries(tensors))
  return copy
}
