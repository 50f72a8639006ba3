/**
 * Plans a merged diffusion pipeline: a folder in which the models that adapters change are merged, each as {@link planMerge} has
 * it, and everything else is copied byte for byte.
 */
import type { ByteDescriptor } from '../core/bytes.js'
import { nameList } from '../core/errors.js'
import { planMerge, type MergeRequest } from './plan-merge.js'
import type { Plan, PlannedAdapter, SideFile } from './plan.js'

/** A model of the pipeline with what adapters do to it: each of the plan's adapters once, also those that have nothing for it. */
export interface PipelinePart extends Pick<MergeRequest, 'base' | 'adapters'> {
  /** Its folder in the pipeline. */
  readonly name: string
}

export interface PipelineRequest extends Pick<MergeRequest, 'combine' | 'dtype' | 'maxShardBytes' | 'receipt' | 'clampOverflow' | 'tileElements' | 'options'> {
  readonly label: string
  readonly root: string
  readonly parts: readonly PipelinePart[]
  /** Files of the pipeline that lie in no part's folder: copied. */
  readonly files: readonly { readonly name: string; readonly source: ByteDescriptor }[]
  /** Files of the pipeline that are not carried over, and why: one sentence each. */
  readonly notes: readonly string[]
}

/** Plans a merge of one or more models of a pipeline. @throws ToolkitError */
export async function planPipeline(request: PipelineRequest): Promise<Plan> {
  const { label, root, parts } = request
  const plans = await Promise.all(parts.map((part) => partPlan(part, request)))
  const [first] = plans
  const files: Plan['files'] = plans.flatMap(({ plan, name }) => plan.files.map((file) => ({ ...file, name: `${name}/${file.name}` })))
  let before = 0
  const tensors = plans.flatMap(({ plan, name }) => {
    const start = before
    before += plan.files.length
    return plan.tensors.map((tensor) => ({ ...tensor, name: `${name}/${tensor.name}`, file: tensor.file + start }))
  })
  const copies = request.files.map(({ name, source }): SideFile => ({ name, stage: 'before', content: { kind: 'copy', source } }))
  const own = plans.flatMap(({ plan, name }) => plan.sideFiles.map((file) => ({ ...file, name: `${name}/${file.name}` })))
  return {
    kind: 'folder',
    root,
    target: root,
    base: label,
    adapters: sumOfAdapters(plans.map(({ plan }) => plan.adapters)),
    files,
    tensors,
    sideFiles: [...copies, ...own],
    receipt: request.receipt,
    keyValues: [],
    clampOverflow: request.clampOverflow ?? false,
    decisions: [...mergedNote(parts), ...new Set(plans.flatMap(({ plan }) => plan.decisions)), ...request.notes],
    warnings: first?.plan.warnings ?? [],
    options: request.options,
  }
}

async function partPlan({ name, base, adapters }: PipelinePart, request: PipelineRequest): Promise<{ name: string; plan: Plan }> {
  const { root, combine, dtype, maxShardBytes, clampOverflow, tileElements, options } = request
  const plan = await planMerge({
    base,
    adapters,
    combine,
    output: { kind: 'folder', root: `${root}/${name}` },
    dtype,
    maxShardBytes,
    receipt: undefined,
    clampOverflow: clampOverflow ?? false,
    tileElements,
    options,
  })
  return { name, plan: { ...plan, decisions: plan.decisions.map((decision) => `${name}: ${decision}`) } }
}

function mergedNote(parts: readonly PipelinePart[]): string[] {
  return [`merged into ${nameList(parts.map(({ name }) => name))}; everything else of the pipeline is copied`]
}

/** Every part's plan has the same adapters, in the same order. */
function sumOfAdapters(all: readonly (readonly PlannedAdapter[])[]): PlannedAdapter[] {
  const [first = []] = all
  return first.map((adapter, i) => ({ ...adapter, tensorCount: all.reduce((sum, adapters) => sum + (adapters[i]?.tensorCount ?? 0), 0) }))
}
