/**
 * How long something may take before it counts as a hang. Not a measure of speed: machines that run tests are busy, and
 * what is guarded against (backtracking, loops that never end) takes minutes or for ever. Speed is measured in bench/.
 */
export const HANG_MS = 60_000
