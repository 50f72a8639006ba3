/**
 * lora-to-gguf as a library: plan, then execute.
 *
 *     import { execute, planGguf } from 'lora-to-gguf'
 *     const plan = await planGguf({ model: 'base', adapters: [{ path: 'adapter' }], outtype: 'q8_0', outfile: 'out.gguf' })
 *     await execute(plan, { onProgress: console.log, signal: AbortSignal.timeout(60_000) })
 */
import { execute as executePlan, type ExecuteOptions, type ExecuteResult } from './engine/execute.js'
import { toolFacts } from './host/tool.js'
import type { Plan } from './plan/plan.js'

export { planGguf, planMerge } from './host/plans.js'
export type { AdapterOption, CommonOptions, GgufOptions, MergeOptions } from './host/options.js'
export type { AppliedDelta, Plan, PlannedAdapter, PlannedFile, PlannedTensor, SideFile, TensorProgram } from './plan/plan.js'
export type { RowProgram } from './core/row-program.js'
export type { KeyValue, MetadataValue } from './core/key-value.js'
export type { ExecuteOptions, ExecuteResult } from './engine/execute.js'
export type { ProgressEvent } from './engine/progress.js'
export type { TensorResult } from './engine/receipt.js'
export { inspect } from './inspect/inspect.js'
export type { InspectedTensor, Inspection } from './inspect/inspection.js'
export {
  CancelledError,
  FileSystemError,
  FormatError,
  InternalError,
  MismatchError,
  ToolkitError,
  UnsupportedError,
  UsageError,
  VerificationError,
} from './core/errors.js'

/**
 * Runs a plan: writes its files, all or nothing.
 * @throws ToolkitError; then no output has its final name and no temporary file is left
 */
export function execute(plan: Plan, options: ExecuteOptions = {}): Promise<ExecuteResult> {
  return executePlan(plan, toolFacts(), options)
}
