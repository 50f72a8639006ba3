/**
 * Reads a PyTorch checkpoint (.bin, .pt, .pth): names, types, shapes and places of its tensors. Nothing that it holds is
 * ever run, and no tensor data is read.
 *
 * Law: docs/formats.md, rules PT01 to PT12; torch 2.15 `load(weights_only=True)`. Stricter here: checksums, unique names, sizes of
 * every reference. Looser: protocols 4 and 5, numpy scalars, archives without a version.
 */
import type { ByteSource, MemberDescriptor } from '../../core/bytes.js'
import type { Dtype } from '../../core/dtypes.js'
import { ruled } from '../../core/errors.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import { flattenCheckpoint } from './flatten.js'
import { readLegacyCheckpoint } from './legacy-checkpoint.js'
import { otherKind } from './other-kinds.js'
import { isNode, type DictNode, type PickleValue } from './pickle-values.js'
import { readZipCheckpoint } from './zip-checkpoint.js'

export interface TorchCheckpoint {
  /** All of them, in the order of the pickle, by their full names: `model.layer.weight` of {"model": {"layer": {"weight": …}}}. */
  readonly tensors: readonly TensorInfo<Dtype>[]
  /** The key that the model's own tensors lie under (`state_dict`), beside optimizers and counters; undefined when they are the root. */
  readonly wrapper: string | undefined
  /** Every record of the archive, each with its checksum; empty for legacy files, which have none. */
  readonly members: readonly MemberDescriptor[]
}

/** Keys under which trainers keep the model, the first that holds tensors has it. */
const WRAPPERS = ['state_dict', 'model_state_dict', 'model', 'module', 'net', 'network']

/** @throws FormatError, UnsupportedError */
export async function readCheckpoint(source: ByteSource): Promise<TorchCheckpoint> {
  const head = new Uint8Array(Math.min(512, source.byteLength))
  await source.read(head, 0)
  ruled('PT11', () => {
    const fault = otherKind(head, source)
    if (fault !== undefined) throw fault
  })
  const isZip = head[0] === 0x50 && head[1] === 0x4b
  const { root, members } = await (isZip ? ruled('PT10', () => readZipCheckpoint(source)) : ruled('PT12', () => readLegacyCheckpoint(source)))
  const tensors = ruled('PT06', () => flattenCheckpoint(root, source.name))
  return { tensors, wrapper: isNode(root, 'dict') ? wrapperOf(root, tensors) : undefined, members }
}

/** The model's tensors under their own names. */
export function modelTensors({ tensors, wrapper }: TorchCheckpoint): readonly TensorInfo<Dtype>[] {
  if (wrapper === undefined) return tensors
  const prefix = `${wrapper}.`
  return tensors.flatMap((tensor) => (tensor.name.startsWith(prefix) ? [{ ...tensor, name: tensor.name.slice(prefix.length) }] : []))
}

function wrapperOf(root: DictNode, tensors: readonly TensorInfo[]): string | undefined {
  const values = new Map<PickleValue, PickleValue>([...root.entries.values()].map(({ key, value }) => [key, value]))
  if ([...values.values()].some((value) => isNode(value, 'tensor'))) return undefined // a state dict itself
  return WRAPPERS.find((key) => isNode(values.get(key), 'dict') && tensors.some(({ name }) => name.startsWith(`${key}.`)))
}
