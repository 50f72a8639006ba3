/** Lets one process at a time do a job: an exclusive file that names its holder, taken over when the holder is dead. */
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** A holder on another machine, or whose pid was given to someone else, is believed for this long: an install takes minutes at most. */
const BELIEVED_MS = 20 * 60 * 1000
const RETRY_MS = 200

/** Runs `job` while holding the lock file `path`; waits, and says so once, while another process holds it. */
export async function withLock(path, say, job) {
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), nonce: Math.random() })
  const release = () => readOrEmpty(path) === mine && rmSync(path, { force: true })
  for (let waits = 0; !take(path, mine); waits++) {
    if (removeStale(path)) continue
    if (waits === 0) say(`setup: waiting for another process that holds ${path} ...`)
    await sleep(RETRY_MS)
  }
  process.once('exit', release)
  try {
    return await job()
  } finally {
    process.off('exit', release)
    release()
  }
}

function take(path, mine) {
  try {
    const file = openSync(path, 'wx')
    writeSync(file, mine)
    closeSync(file)
    return true
  } catch (error) {
    // Windows says EPERM while a deleted file is still open somewhere.
    if (error.code === 'EEXIST' || (process.platform === 'win32' && error.code === 'EPERM')) return false
    throw error
  }
}

/** Moves a dead holder's file out of the way. Two processes may try at once: what was moved is looked at again, and put back if it was fresh. */
function removeStale(path) {
  const seen = readOrEmpty(path)
  if (!isStale(path, seen)) return false
  const aside = `${path}.${process.pid}.stale`
  try {
    renameSync(path, aside)
    if (readOrEmpty(aside) === seen) rmSync(aside, { force: true })
    else renameSync(aside, path)
  } catch {
    // someone else was faster
  }
  return true
}

function isStale(path, content) {
  try {
    if (Date.now() - statSync(path).mtimeMs > BELIEVED_MS) return true
    if (content === '') return Date.now() - statSync(path).mtimeMs > 5000 // killed between creating and writing
    const { pid, host } = JSON.parse(content)
    if (host !== hostname()) return false
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH' || error instanceof SyntaxError
  }
}

function readOrEmpty(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
