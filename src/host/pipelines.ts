/** Plans a merge into a whole diffusion pipeline: opens the models that adapters are for, lists what is copied. */
import { join } from 'node:path'
import type { AdapterFile } from '../adapters/adapter-file.js'
import { DENOISERS, isSameModel, type BasePart } from '../adapters/diffusion/parts.js'
import { bindToPipeline } from '../adapters/diffusion/bind-pipeline.js'
import type { ByteDescriptor } from '../core/bytes.js'
import { nameList, UsageError } from '../core/errors.js'
import type { Model } from '../core/model.js'
import type { PipelinePart, PipelineRequest } from '../plan/plan-pipeline.js'
import { openPipeline, type Pipeline, type PipelineFile } from '../sources/pipeline.js'
import { openAdapters, watchedModel, type OpenedAdapter } from './inputs.js'
import type { MergeOptions } from './options.js'

/** Weights that lie in a pipeline's folder itself, or are other variants of a model: not merged, and readers would take them for merged. */
const WEIGHTS = /\.(?:safetensors|bin|pt|pth|ckpt|msgpack|onnx|onnx_data|gguf|h5)$|\.index(?:\.[^.]+)?\.json$/i
const OUTPUTS_OF_OURS = /\.receipt\.json$/i

/** What {@link planPipeline} wants to know of the inputs. */
export interface PipelineInputs extends Pick<PipelineRequest, 'label' | 'parts' | 'files' | 'notes'> {
  /** Every file that was opened to find that out. */
  readonly consulted: ReadonlySet<ByteDescriptor>
  /** Folders whose files are inputs. */
  readonly folders: readonly string[]
}

/** @throws ToolkitError of whatever does not fit */
export async function openPipelineInputs(options: MergeOptions): Promise<PipelineInputs> {
  const { base, adapters, components, tokenizer } = options
  if (tokenizer !== undefined) throw new UsageError('--tokenizer is for language models; a pipeline keeps its own.')
  const consulted = new Set<ByteDescriptor>()
  const pipeline = await openPipeline(base)
  const opened = await openAdapters(adapters, options, consulted)
  const models = await openModels(pipeline, opened, components, consulted)
  const parts = [...models].map(([name, { tensors }]): BasePart => ({ components: [name], tensors }))
  const bound = opened.map(({ file }) => bindToPipeline(file, parts, options))
  const touched = [...models].flatMap(([name, model], i): PipelinePart[] => {
    const own = opened.flatMap(({ path, weight, digest }, adapter) => {
      const one = bound[adapter]?.[i]
      return one === undefined ? [] : [{ adapter: { ...one, label: path }, weight, digest }]
    })
    return own.some(({ adapter }) => adapter.deltas.length > 0) ? [{ name, base: model, adapters: own }] : []
  })
  const { files, notes } = await otherFiles(
    pipeline,
    touched.map(({ name, base: model }) => ({ name, model })),
  )
  return { label: pipeline.label, parts: touched, files, notes, consulted, folders: pipeline.folders.map((name) => join(base, name)) }
}

/** The models that adapters may be for, opened: headers only. */
async function openModels(
  pipeline: Pipeline,
  adapters: readonly OpenedAdapter[],
  asked: readonly string[] | undefined,
  consulted: Set<ByteDescriptor>,
): Promise<Map<string, Model>> {
  const possible = pipeline.components.filter((name) => isMergeable(name))
  const unknown = (asked ?? []).filter((name) => !possible.some((one) => isSameModel(one, name)))
  if (unknown.length > 0) throw new UsageError(`--component ${unknown[0]}: the pipeline has ${nameList(possible)}.`)
  const wanted = possible.filter((name) => adapters.some(({ file }) => mayBeFor(file, name, asked)))
  const models = new Map<string, Model>()
  for (const name of wanted) models.set(name, await watchedModel(await pipeline.open(name), consulted))
  return models
}

function isMergeable(name: string): boolean {
  return DENOISERS.includes(name) || /^(?:transformer|text_encoder)(?:_\d+)?$/.test(name)
}

function mayBeFor({ modules, isOfPipeline }: AdapterFile, name: string, asked: readonly string[] | undefined): boolean {
  if (isOfPipeline !== true) return true
  return modules.some(
    ({ component }) =>
      component === undefined ||
      ((asked === undefined || asked.some((one) => isSameModel(one, component) || isSameModel(one, name))) &&
        (isSameModel(component, name) || component.startsWith('text_encoder') === name.startsWith('text_encoder'))),
  )
}

/** Everything that is not merged: copied, but for weights that would be taken for merged ones. */
async function otherFiles(
  pipeline: Pipeline,
  touched: readonly { name: string; model: Model }[],
): Promise<{ files: { name: string; source: ByteDescriptor }[]; notes: string[] }> {
  const leftOut: string[] = []
  const copied: PipelineFile[] = []
  for (const file of pipeline.rootFiles) {
    if (WEIGHTS.test(file.name)) leftOut.push(file.name)
    else if (!OUTPUTS_OF_OURS.test(file.name)) copied.push(file)
  }
  for (const name of pipeline.folders) {
    const part = touched.find((one) => one.name === name)
    const files = await pipeline.filesOf(name)
    if (part === undefined) copied.push(...files)
    else {
      const own = new Set(part.model.shards.map(({ fileName }) => `${name}/${fileName}`))
      leftOut.push(...files.flatMap((file) => (WEIGHTS.test(file.name) && !own.has(file.name) && !isIndexOf(file.name, part.model) ? [file.name] : [])))
      copied.push(...files.filter((file) => file.name.split('/').length > 2 && !WEIGHTS.test(file.name))) // the others are the merged model's own
    }
  }
  const files: { name: string; source: ByteDescriptor }[] = []
  for (const { name, open } of copied) files.push({ name, source: (await open()).descriptor })
  const note = `${leftOut.length} files hold weights that are not merged, and are left out: ${nameList(leftOut, 3)}`
  return { files, notes: leftOut.length === 0 ? [] : [note] }
}

function isIndexOf(name: string, { shards }: Model): boolean {
  return shards.length > 1 && /\.index(?:\.[^.]+)?\.json$/.test(name)
}
