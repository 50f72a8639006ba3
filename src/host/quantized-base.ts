/** A base that is stored quantized: opened, and read as plain numbers, carried over or refused, as the task asks for. */
import { readAll, type Folder } from '../core/bytes.js'
import { parseJsonObject, type Json, type JsonObject } from '../core/json.js'
import type { Model } from '../core/model.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { WeightedAdapter } from '../merge/combine.js'
import { openQuantized, type QuantizedModel } from '../quantized/open.js'
import { plainModel } from '../quantized/plain-model.js'
import { MODELOPT_FILE } from '../quantized/quantization-config.js'
import { treatmentOf, type Task } from '../quantized/treatment.js'
import { MAX_CONFIG_BYTES } from '../sources/model.js'
import { readWholeTensors } from '../sources/whole-tensors.js'

const ADAPTER_CONFIG = 'adapter_config.json'

/** Undefined for a base that is not stored quantized. @throws ToolkitError when it is, in a way that is not read */
export async function openQuantizedBase(base: Model): Promise<QuantizedModel | undefined> {
  const modelopt = base.folder === undefined ? undefined : await readJson(base.folder, MODELOPT_FILE)
  return openQuantized(base, modelopt, readWholeTensors)
}

/** The tensors of a base as adapters know them. */
export function plainTensors(base: Model, quantized: QuantizedModel | undefined): ReadonlyMap<string, TensorInfo> {
  return quantized === undefined ? base.tensors : plainModel(base, quantized, { order: 'files', keepsBlocks: false }).tensors
}

/** What is to be done, with what was opened for it. */
interface OpenedTask extends Pick<Task, 'kind' | 'dequantize'> {
  readonly adapters: readonly WeightedAdapter[]
  readonly folders: readonly Folder[]
}

export interface TreatedBase {
  readonly base: Model
  readonly decisions: readonly string[]
  readonly warnings: readonly string[]
}

/** @throws UnsupportedError when it is only done when asked for */
export async function treatedBase(base: Model, quantized: QuantizedModel | undefined, task: OpenedTask): Promise<TreatedBase> {
  if (quantized === undefined) return { base, decisions: [], warnings: [] }
  const used = task.adapters.filter(({ weight }) => weight !== 0)
  const changed = new Set(used.flatMap(({ adapter }) => [...adapter.deltas.map(({ target }) => target), ...(adapter.untied?.values() ?? [])]))
  const origins = await originsOf(base, task.folders)
  const { as, keepsBlocks, decisions, warnings } = treatmentOf(quantized, { ...task, base: base.label, changed, origins })
  const order = task.adapters.length > 0 ? 'files' : 'reference'
  return { base: as === 'stored' ? base : plainModel(base, quantized, { order, keepsBlocks }), decisions, warnings }
}

/** The models that adapters and base say that they come from. */
async function originsOf(base: Model, folders: readonly Folder[]): Promise<string[]> {
  const configs = await Promise.all(folders.map((folder) => readJson(folder, ADAPTER_CONFIG)))
  const names: (Json | undefined)[] = [...configs.map((config) => config?.get('base_model_name_or_path')), base.config?.get('_name_or_path')]
  return names.filter((name): name is string => typeof name === 'string' && name !== '')
}

/** Undefined when there is none. @throws FormatError */
async function readJson(folder: Folder, name: string): Promise<JsonObject | undefined> {
  if (!folder.has(name)) return undefined
  const source = await folder.open(name)
  return parseJsonObject(await readAll(source, MAX_CONFIG_BYTES), source.name)
}
