#if CommandLineSupport
import ArgumentParser
import TokenBrokerComposer

struct Plugins: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List every key of a configuration file and every plug-in, with types, defaults and ranges.",
        discussion: "The tables in docs/configuration.md and docs/plugins.md are its output with '--format markdown'."
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, markdown, json }

    @Option(help: "The format of the output: text, markdown or json.")
    var format = Format.text

    func run() async throws {
        let documentation = Registry.program.documentation
        switch format {
        case .text: try printResult(documentation.text)
        case .markdown: try printResult(documentation.markdown)
        case .json: try printResult(documentation.json)
        }
    }
}
#endif
