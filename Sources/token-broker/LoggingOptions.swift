#if CommandLineSupport
import ArgumentParser
import FoundationEssentials
import Logging
import TokenBroker

/// `--log-level` and `--log-format`, which every subcommand takes. Log lines go to standard error.
struct LoggingOptions: ParsableArguments {
    @Option(help: "The least severe messages to log: \(Level.allNames).")
    var logLevel: Level = .info

    @Option(help: "The form of a log line: text or json.")
    var logFormat: Format = .text

    enum Level: String, ExpressibleByArgument, CaseIterable {
        case trace, debug, info, notice, warning, error
        static var allNames: String { allCases.map(\.rawValue).joined(separator: ", ") }
        var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
    }

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text, json
    }

    func makeLogger(_ label: String = "token-broker") -> Logger {
        var logger = Logger(label: label) { label in
            switch logFormat {
            case .text: StreamLogHandler.standardError(label: label)
            case .json: JSONLogHandler(label: label)
            }
        }
        logger.logLevel = logLevel.level
        return logger
    }
}

/// Writes each message as one line of JSON to standard error.
struct JSONLogHandler: LogHandler {
    let label: String
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    init(label: String) { self.label = label }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var members: [String: JSONValue] = [:]
        for source in [metadata, metadataProvider?.get() ?? [:], event.metadata ?? [:]] {
            for (key, value) in source { members[key] = json(value) }
        }
        members["time"] = .string(Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
        members["level"] = .string(event.level.rawValue)
        members["label"] = .string(label)
        members["message"] = .string(event.message.description)
        if let error = event.error { members["error"] = .string("\(error)") }
        standardError.write(JSONValue.object(members).serialized + [UInt8(ascii: "\n")])
    }

    private func json(_ value: Logger.Metadata.Value) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let value): .string(value.description)
        case .array(let values): .array(values.map(json))
        case .dictionary(let values): .object(values.mapValues(json))
        }
    }
}
#endif
