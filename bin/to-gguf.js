#!/usr/bin/env node
import { toGguf } from '../dist/src/cli/to-gguf.js'
import { main } from '../dist/src/cli/main.js'
process.exitCode = await main(toGguf, process.argv.slice(2))
