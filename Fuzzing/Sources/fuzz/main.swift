import CFuzzer
import Foundation

/// `fuzz TARGET ARGUMENTS…` runs libFuzzer with the arguments for one of the targets. Without arguments it prints the
/// names of the targets.
let arguments = CommandLine.arguments
guard arguments.count > 1, let chosen = targets[arguments[1]] else {
    for name in targets.keys.sorted() { print(name) }
    exit(arguments.count > 1 ? 64 : 0)
}
let target = chosen

// libFuzzer takes argc and argv, without the target's name, and a C callback, which cannot capture anything.
var argumentCount = CommandLine.argc - 1
var pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
pointers?[1] = CommandLine.unsafeArgv[0]
pointers = pointers?.advanced(by: 1)
exit(
    LLVMFuzzerRunDriver(&argumentCount, &pointers) { bytes, count in
        target(Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    }
)
