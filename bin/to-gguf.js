#!/usr/bin/env node
import { toGguf } from '../dist/bundle/cli/to-gguf.js'
import { main } from '../dist/bundle/cli/main.js'
process.exitCode = await main(toGguf, process.argv.slice(2))
