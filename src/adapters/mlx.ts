/**
 * A LoRA or DoRA of MLX-LM -> modules: adapter_config.json (fine_tune_type, lora_parameters) and adapters.safetensors.
 *
 *   X.lora_a (in x r), X.lora_b (r x out)        linear layers; embeddings (vocabulary x r), (r x dim)
 *   X.switch_mlp.P.lora_a (E x r x in), .lora_b (E x out x r)    all experts at once
 *   X.m                                          DoRA: length of each output, of each token for embeddings
 *
 * Law: mlx-lm tuner/lora.py, dora.py, utils.py: the update is `scale * lora_a · lora_b`, scale as the config has it, not divided
 * by the rank. A tied embedding was trained at both ends.
 */
import { FormatError, MismatchError, nameList, quoted, UnsupportedError } from '../core/errors.js'
import { isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readHeader } from '../formats/safetensors/header.js'
import type { AdapterFile, AdapterFolder, AdapterModule, FormatOptions } from './adapter-file.js'
import type { FactorRole } from './key-suffixes.js'
import { pairFactors } from './paired-factors.js'

const CONFIG = 'adapter_config.json'
const WEIGHTS = 'adapters.safetensors'
const SWITCH = /^(.+)\.switch_mlp\.([^.]+)$/s

/** Whether a config is one of MLX-LM: PEFT has neither field. */
export function isMlxConfig(config: JsonObject): boolean {
  return config.has('fine_tune_type') || config.has('lora_parameters')
}

/** @throws FormatError naming a field, MismatchError for tensors that do not belong together, UnsupportedError for full fine-tunes */
export async function openMlxAdapter(folder: AdapterFolder, config: JsonObject, weightsName = WEIGHTS, options: FormatOptions = {}): Promise<AdapterFile> {
  const configFile = `${folder.label}/${CONFIG}`
  const type = config.get('fine_tune_type') ?? (config.get('use_dora') === true ? 'dora' : 'lora')
  if (type === 'full')
    throw new UnsupportedError('is a full fine-tune of MLX-LM, whose layers are whole: run mlx_lm.fuse on it; its result is a model.', { file: configFile })
  if (type !== 'lora' && type !== 'dora')
    throw new UnsupportedError(`fine_tune_type is ${typeof type === 'string' ? quoted(type) : kindOf(type)}; lora and dora are known here.`, {
      file: configFile,
    })
  const { rank, scale, note } = readScale(config, configFile, options.alpha)
  const source = await folder.open(weightsName)
  const { tensors } = await readHeader(source)
  const { modules: pairs, rest } = pairFactors(tensors, { A: 'lora_a', B: 'lora_b', more: { m: 'magnitude' } }, source.name)
  const [other] = rest
  if (other !== undefined)
    throw new MismatchError('is neither lora_a nor lora_b nor m of a module: it would be left over.', { file: source.name, tensor: other.name })
  if (pairs.size === 0) throw new MismatchError('holds no LoRA tensors at all: nothing would be merged.', { file: source.name })
  const modules = [...pairs].map(([name, factors]) => moduleOf(name, factors, { rank, scale, isDora: type === 'dora', file: source.name }))
  return {
    label: folder.label,
    kind: `MLX-LM ${type === 'dora' ? 'DoRA' : 'LoRA'}`,
    modules,
    fanInFanOut: false,
    ensuresTie: true,
    ...(note.asked ? { takes: ['alpha'] } : {}),
    files: [weightsName, CONFIG],
    facts: { format: 'MLX-LM', type, rank, scale, modules: modules.map(({ name, kind }) => ({ module: name, kind })) },
    notes: note.text === '' ? [] : [note.text],
  }
}

interface Scale {
  readonly rank: number
  readonly scale: number
  /** What the user should know, and whether --alpha decided. */
  readonly note: { readonly text: string; readonly asked: boolean }
}

/**
 * The scale. Files of 2024 hold alpha too: until the summer it was a factor (scale · alpha / rank), then it was written and not used;
 * since fine_tune_type and num_layers are there, only scale counts.
 */
function readScale(config: JsonObject, file: string, asked: number | undefined): Scale {
  const parameters = config.get('lora_parameters')
  if (!isObject(parameters)) throw new FormatError(`"lora_parameters" must be an object, found ${kindOf(parameters)}.`, { file })
  const rank = parameters.get('rank')
  if (typeof rank !== 'number' || !Number.isInteger(rank) || rank < 1)
    throw new FormatError(`"rank" must be a whole number above 0, found ${kindOf(rank)}.`, { file })
  const [scale, alpha] = ['scale', 'alpha'].map((key) => number(parameters.get(key), key, file))
  const isNew = config.has('fine_tune_type') || config.has('num_layers')
  if (scale !== undefined && (isNew || alpha === undefined)) return { rank, scale: checked(scale, file), note: { text: '', asked: false } }
  if (asked !== undefined) return { rank, scale: checked(asked / rank, file), note: { text: '', asked: true } }
  if (alpha === undefined) throw new FormatError('"lora_parameters" has neither "scale" nor "alpha".', { file })
  if (scale === undefined)
    return { rank, scale: checked(alpha / rank, file), note: { text: `The config has no scale: alpha / rank, ${alpha / rank}, is taken.`, asked: false } }
  throw new MismatchError(
    `has both "scale" ${scale} and "alpha" ${alpha}, which MLX-LM has used in two ways: the factor is ${scale * (alpha / rank)} before August 2024, ${scale} after it. Say --alpha ${scale * alpha} for the first, --alpha ${scale * rank} for the second.`,
    { file },
  )
}

function number(value: Json | undefined, key: string, file: string): number | undefined {
  if (value === undefined || value === null || (typeof value === 'number' && Number.isFinite(value))) return value ?? undefined
  throw new FormatError(`"${key}" must be a finite number, found ${kindOf(value)}.`, { file })
}

function checked(scale: number, file: string): number {
  if (!Number.isFinite(Math.fround(scale))) throw new FormatError(`the scale ${scale} is too large for f32.`, { file })
  return scale
}

interface Facts {
  readonly rank: number
  readonly scale: number
  readonly isDora: boolean
  readonly file: string
}

function moduleOf(name: string, factors: ReadonlyMap<FactorRole, TensorInfo>, { rank, scale, isDora, file }: Facts): AdapterModule {
  const [A, B] = [factors.get('A'), factors.get('B')]
  const place = { file, tensor: A?.name ?? '' }
  const [, container, part] = SWITCH.exec(name) ?? []
  const isSwitch = container !== undefined && part !== undefined
  const dimensions = isSwitch ? 3 : 2
  const ranks = isSwitch ? [A?.shape[1], B?.shape[2]] : [A?.shape[1], B?.shape[0]]
  if (A?.shape.length !== dimensions || B?.shape.length !== dimensions)
    throw new UnsupportedError(
      `and its partner have the shapes ${shapeText(A?.shape ?? [])} and ${shapeText(B?.shape ?? [])}; ${dimensions} dimensions are known for such a module.`,
      place,
    )
  if (ranks.some((one) => one !== rank))
    throw new MismatchError(`and its partner have the ranks ${ranks.join(' and ')}, but ${CONFIG} says ${rank}: do they belong together?`, place)
  if (isDora !== factors.has('magnitude') && !isSwitch)
    throw new MismatchError(
      isDora ? `has no partner ${quoted(`${name}.m`)}, though fine_tune_type is dora.` : `has a magnitude "m", though it is no DoRA: ${nameList([name])}.`,
      place,
    )
  const common = { factors, rank, alpha: scale * rank, scale }
  return isSwitch ? { kind: 'switch', name: `${container}.experts`, part, ...common } : { kind: 'turned', name, ...common }
}
