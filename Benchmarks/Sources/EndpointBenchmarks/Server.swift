import Foundation

struct Failed: Error, CustomStringConvertible {
    var reason: String
    var description: String { reason }
}

/// A server in a separate process that prints its port.
struct Server {
    let name: String
    /// The paths that it serves, without the slash.
    let paths: [String]
    let port: Int
    private let process = Process()

    init(_ name: String, _ paths: [String], _ command: [String]) throws {
        (self.name, self.paths) = (name, paths)
        let pipe = Pipe()
        process.executableURL = URL(filePath: command[0])
        process.arguments = Array(command.dropFirst())
        process.standardOutput = pipe
        try process.run()
        let line = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = Int(line.split(separator: "\n").first ?? "") else {
            process.terminate()
            throw Failed(reason: "\(name) printed no port: \(line)")
        }
        self.port = port
    }

    /// Returns the CPU seconds so far, in user and kernel mode.
    func processorTime() throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)
        // The fields after the name, which may contain spaces.
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else {
            throw Failed(reason: "cannot read the CPU time of \(name)")
        }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    func stop() {
        process.terminate()
        process.waitUntilExit()
    }
}

/// Runs a command and returns its output.
/// - Throws: ``Failed`` with the output if the command fails.
func run(_ command: [String]) throws -> String {
    let (process, pipe) = (Process(), Pipe())
    process.executableURL = URL(filePath: command[0])
    process.arguments = Array(command.dropFirst())
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Failed(reason: "\(command[0]): \(output)") }
    return output
}
