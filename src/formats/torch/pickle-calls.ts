/** What the calls of a pickle give: code of ours, for the rows of the allow-list, over inert data. */
import { isDtype, type Dtype } from '../../core/dtypes.js'
import type { FormatError } from '../../core/errors.js'
import { tensorNode, type LazySigns } from './geometry.js'
import { describe, INERT, isNode, setItem, type GlobalNode, type PickleValue } from './pickle-values.js'

type Fail = (what: string) => FormatError

/** @param fail  makes an error that says where in the file */
export function callGlobal({ global, name }: GlobalNode, args: readonly PickleValue[], fail: Fail): PickleValue {
  switch (global.is) {
    case 'container':
      return container(global.of, args, fail)
    case 'encode':
      return encoded(args, fail)
    case 'tensor':
      return tensor(global.version, args, fail)
    case 'parameter':
      return parameter(args, fail)
    case 'subclass':
      return withoutSubclass(args, fail)
    case 'inert':
      return INERT
    case 'storage':
    case 'dtype':
    case 'unsupported':
      throw fail(`calls ${name}, which no checkpoint does. Nothing was run.`)
  }
}

/** OrderedDict() and OrderedDict([(key, value), …]) of Python 2; set([…]); torch.Size((…)). */
function container(of: 'dict' | 'set' | 'size', args: readonly PickleValue[], fail: Fail): PickleValue {
  const [items, ...rest] = args
  if (rest.length > 0) throw fail(`builds a ${of} of ${args.length} arguments; one at most is wanted.`)
  if (items !== undefined && !isNode(items, 'list') && !isNode(items, 'tuple')) throw fail(`builds a ${of} from ${describe(items)}; a list is wanted.`)
  if (of === 'dict') return orderedDict(items?.items ?? [], fail)
  const copy = [...(items?.items ?? [])]
  return of === 'set' ? { kind: 'set', items: copy } : { kind: 'tuple', items: copy }
}

/** Python 2 gives the items as [key, value] pairs; later ones set them afterwards. */
function orderedDict(pairs: readonly PickleValue[], fail: Fail): PickleValue {
  const dict: PickleValue = { kind: 'dict', ordered: true, entries: new Map() }
  for (const pair of pairs) {
    if (!(isNode(pair, 'list') || isNode(pair, 'tuple')) || pair.items.length !== 2) throw fail(`builds an OrderedDict of ${describe(pair)}; pairs are wanted.`)
    const fault = setItem(dict, pair.items[0] ?? null, pair.items[1] ?? null)
    if (fault !== undefined) throw fail(fault)
  }
  return dict
}

/** How protocol 2 writes bytes: as a text of code points below 256. The bytes themselves are needed by nobody. */
function encoded([text, encoding]: readonly PickleValue[], fail: Fail): PickleValue {
  if (typeof text !== 'string' || (encoding !== undefined && encoding !== 'latin1')) throw fail('encodes something else than a text as latin1.')
  return INERT
}

/** `_rebuild_parameter(tensor, requires_grad, hooks)` and its kin. */
function parameter([data]: readonly PickleValue[], fail: Fail): PickleValue {
  if (!isNode(data, 'tensor')) throw fail(`makes a parameter of ${describe(data)}; a tensor is wanted.`)
  return data
}

/** `_rebuild_from_type_v2(function, class, arguments, state)`: the tensor without class and state. */
function withoutSubclass([callee, type, args]: readonly PickleValue[], fail: Fail): PickleValue {
  if (!isNode(callee, 'global') || callee.global.is === 'subclass' || !isNode(type, 'global') || !isNode(args, 'tuple'))
    throw fail('rebuilds a tensor of a subclass by something else than a function, a class and arguments.')
  return callGlobal(callee, args.items, fail)
}

/** How many arguments each version of `_rebuild_tensor` has: without and with everything. */
const ARGUMENTS = { 1: [4, 4], 2: [6, 7], 3: [7, 8] } as const

/** `_rebuild_tensor(storage, offset, size, stride)`; `_v2(…, requires_grad, hooks[, metadata])`; `_v3(…, hooks, dtype[, metadata])`. */
function tensor(version: 1 | 2 | 3, args: readonly PickleValue[], fail: Fail): PickleValue {
  const [least, most] = ARGUMENTS[version]
  if (args.length < least || args.length > most) throw fail(`rebuilds a tensor from ${args.length} arguments; ${least} to ${most} are wanted.`)
  const [storage, offset, size, stride] = args
  if (!isNode(storage, 'storage')) throw fail(`rebuilds a tensor from ${describe(storage)}; a storage is wanted.`)
  const dtype = version === 3 ? dtypeOf(args[6], fail) : storage.dtype
  if (dtype === undefined) throw fail('rebuilds a tensor from an untyped storage without saying of which type.')
  const signs = lazySigns(args[version === 3 ? 7 : 6], fail)
  return tensorNode(storage, dtype, { offset, size, stride }, signs, fail)
}

function dtypeOf(value: PickleValue | undefined, fail: Fail): Dtype {
  if (isNode(value, 'global') && value.global.is === 'dtype' && isDtype(value.global.dtype)) return value.global.dtype
  throw fail(isNode(value, 'global') ? `rebuilds a tensor of ${value.name}, which is not supported.` : `rebuilds a tensor whose type is ${describe(value)}.`)
}

/** torch's tensors may be negated or conjugated by a flag, their storage unchanged: ignoring it would flip signs silently. */
function lazySigns(metadata: PickleValue | undefined, fail: Fail): LazySigns {
  const signs = { neg: false, conj: false }
  if (metadata === undefined || metadata === null) return signs
  if (!isNode(metadata, 'dict')) throw fail(`has ${describe(metadata)} as the metadata of a tensor; a dict is wanted.`)
  for (const { key, value } of metadata.entries.values()) {
    if ((key !== 'neg' && key !== 'conj') || typeof value !== 'boolean') throw fail('has metadata of a tensor that is not known.')
    signs[key] = value
  }
  return signs
}
