/** GGUFs made in one pass and in two steps, and what may be refused on the way. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { execute, planGguf, planMerge, ToolkitError, type AdapterOption, type GgufOptions } from '../../src/index.js'
import { openModel } from '../../src/sources/model.js'
import { readGguf } from './gguf-file.js'

/** Why an adapter that fits the folder may be refused for the GGUF of it: the file has no name for the tensor, or shares one that would differ. */
const NOT_INTO_GGUF = /merge into the folder/

type Asked = Pick<GgufOptions, 'outtype' | 'pre' | 'noVocab' | 'modelName'>

/** The bytes of a GGUF. */
export async function ggufOf(model: string, adapters: readonly AdapterOption[], outfile: string, asked: Asked): Promise<Buffer> {
  await execute(await planGguf({ ...asked, model, adapters, outfile, modelfile: false, receipt: false }), { threads: 1, force: true })
  return readFileSync(outfile)
}

/** The tool's own refusal of some work, or undefined where it is done. */
export async function refusalOf(work: Promise<unknown>): Promise<ToolkitError | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    assert.ok(error instanceof ToolkitError && [3, 4, 6].includes(error.exitCode), String(error))
    return error
  }
}

export function assertSameBytes(one: Uint8Array, two: Uint8Array, what: string): void {
  assert.equal(one.byteLength, two.byteLength, what)
  assert.equal(Buffer.compare(one, two), 0, what)
}

/**
 * Fails unless a base with adapters becomes the same GGUF in one pass as through a merged f32 folder, and both ways say that they change something.
 * @returns the bytes, and the path of the file
 */
export async function assertOnePass(root: string, base: string, adapters: readonly AdapterOption[], asked: Asked): Promise<{ bytes: Buffer; path: string }> {
  const [merged, path] = [join(root, 'merged'), join(root, 'fused.gguf')]
  const inFolder = await execute(await planMerge({ base, adapters, out: merged, dtype: 'F32', receipt: false }), { threads: 1 })
  const inFile = await execute(await planGguf({ ...asked, model: base, adapters, outfile: path, modelfile: false, receipt: false }), { threads: 1 })
  const bytes = readFileSync(path)
  const isChanged = ({ deltaRatio = 0 }: { deltaRatio?: number | undefined }): boolean => deltaRatio > 0
  assert.equal(inFile.tensors.some(isChanged), inFolder.tensors.some(isChanged), 'what is said to be changed')
  assertSameBytes(bytes, await ggufOf(merged, [], join(root, 'steps.gguf'), asked), 'in one pass and in two steps')
  rmSync(merged, { recursive: true })
  return { bytes, path }
}

/** Fails unless the same adapters go into the GGUF of the base too, each tensor with the same bytes, or are refused for one of the reasons above. */
export async function assertIntoGguf(root: string, base: string, adapters: readonly AdapterOption[], fused: string): Promise<void> {
  const path = join(root, 'into.gguf')
  const refusal = await refusalOf(ggufOf(base, adapters, path, { outtype: 'f32' }))
  if (refusal !== undefined) return assert.ok(NOT_INTO_GGUF.test(refusal.message), refusal.message)
  const ours = new Map((await readGguf(path)).tensors.map((tensor) => [tensor.name, tensor]))
  for (const { name: tensor, bytes } of (await readGguf(fused)).tensors) {
    const own = ours.get(tensor)
    assert.ok(own, tensor)
    assertSameBytes(own.bytes, bytes, `${tensor} in the GGUF of the base`)
  }
}

/** Tables that are looked up, which are no linear layers. */
const EMBEDDING = /(?:^|\.)(?:embed_tokens(?:_per_layer)?|word_embeddings|tok_embeddings|embed_in|wte|wpe)\.weight$/

/** Paths of a base's linear layers -> [out, in]. */
export async function linearsOf(base: string, isStoredTurned = false): Promise<Record<string, [number, number]>> {
  const modules: Record<string, [number, number]> = {}
  for (const [name, { shape, dtype }] of (await openModel(base)).tensors) {
    const [rows = 0, cols = 0] = shape
    if (shape.length !== 2 || !name.endsWith('.weight') || EMBEDDING.test(name) || !/^(?:F32|F16|BF16)$/.test(dtype)) continue
    modules[name.slice(0, -'.weight'.length)] = isStoredTurned ? [cols, rows] : [rows, cols]
  }
  return modules
}
