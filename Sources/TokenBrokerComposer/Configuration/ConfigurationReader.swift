#if ConfigurationSupport
import Configuration
import TokenBroker

/// Reads keys from a ``BrokerConfiguration`` and records every problem. It also records the keys that were read, so
/// that it can report the others as unknown.
final class ConfigurationReader {
    let configuration: BrokerConfiguration
    let environment: [String: String]
    /// Maps keys to variables, and splits lists. Everything is read as text, because the typed getters report a missing
    /// value and a value of another type in the same way.
    private let variables: EnvironmentVariablesProvider
    var problems: [ConfigurationError.Problem] = []
    private(set) var warnings: [String] = []
    /// The names of the keys that were read, by the path of their section.
    private(set) var known: [[String]: Set<String>] = [[]: []]
    /// Sections whose keys are unknown, because the part that would declare them is unknown.
    private(set) var opaque: Set<[String]> = []
    private(set) var knownVariables: Set<String> = [BrokerConfiguration.fileVariable]

    init(_ configuration: BrokerConfiguration) {
        self.configuration = configuration
        environment = withoutServiceLinks(configuration.environment)
        variables = EnvironmentVariablesProvider(environmentVariables: environment)
    }

    /// Reads the values of a section's keys. If a value is unusable, records the problems and returns `nil`.
    func read<Keys: ConfigurationKeys>(_ keys: Keys, in section: [String]) -> ConfigurationValues<Keys>? {
        ConfigurationValues(keys, in: section, self)
    }

    /// Reads a value from the environment, or else from the file, or else uses the default. If the value is unusable,
    /// records the problem and returns `nil`.
    func value<Value>(of key: ConfigurationKey<Value>, in section: [String]) -> Value? {
        declare(key.name, in: section)
        let path = section + [key.name]
        if let former = key.formerName { refuseFormerName(section + [former], nowAt: path) }
        let (variable, fromEnvironment) = variableInput(path, isList: key.type.isList)
        if let fromEnvironment {
            return read(fromEnvironment, as: key, path: path, node: nil, variable: variable)
        }
        if let node = node(at: path) {
            return read(ConfigurationInput(node), as: key, path: path, node: node, variable: nil)
        }
        if let value = key.defaultValue { return value }
        let alternative = configuration.reader == nil ? "; you can also set \(variable)" : ""
        note(
            .missing, path, node: nearestNode(above: path),
            "expected \(key.type.expectation), found nothing\(alternative)")
        return nil
    }

    private func read<Value>(
        _ input: ConfigurationInput, as key: ConfigurationKey<Value>, path: [String], node: ConfigurationNode?,
        variable: String?
    ) -> Value? {
        do throws(Rejection) {
            return try key.type.read(input)
        } catch {
            var message = "expected \(key.type.expectation), found \(error.found)"
            if let element = error.element { message += " as element \(element + 1)" }
            if let nearest = error.nearest { message += "; did you mean \(nearest)?" }
            if let remedy = error.remedy { message += "; \(remedy)" }
            var node = node
            if let element = error.element, case .list(let elements)? = node?.content { node = elements[element] }
            note(.invalid, path, node: node, variable: variable, message)
            return nil
        }
    }

    private func variableInput(_ path: [String], isList: Bool) -> (name: String, input: ConfigurationInput?) {
        if let reader = configuration.reader {
            return ("\(configuration.name)", ConfigurationInput(reader, ConfigKey(path), isList: isList))
        }
        let key = AbsoluteConfigKey(["tokenBroker"] + path)
        // Reading text cannot fail.
        guard let found = try? variables.value(forKey: key, type: isList ? .stringArray : .string) else {
            return ("", nil)
        }
        knownVariables.insert(found.encodedKey)
        switch found.value?.content {
        case .string(let text): return (found.encodedKey, .variable(text))
        case .stringArray([""]): return (found.encodedKey, .list([]))
        case .stringArray(let elements): return (found.encodedKey, .list(elements.map(ConfigurationInput.variable)))
        default: return (found.encodedKey, nil)
        }
    }

    /// Records a problem if a key is set under its former name.
    private func refuseFormerName(_ former: [String], nowAt path: [String]) {
        let (variable, input) = variableInput(former, isList: false)
        knownVariables.remove(variable)
        if input != nil {
            knownVariables.insert(variable)
            note(
                .unknownKey, former, node: nil, variable: variable,
                "this key is now \(path.joined(separator: ".")); set \(variableInput(path, isList: false).name)")
        }
        guard let section = node(at: former.dropLast()), let member = section[former.last ?? ""] else { return }
        declare(former.last ?? "", in: Array(former.dropLast()))
        var node = member.value
        node.line = member.line
        note(.unknownKey, former, node: node, "this key is now \(path.joined(separator: "."))")
    }

    // MARK: Known keys and problems

    /// Declares a name in a section, and the section in each of its enclosing sections.
    func declare(_ name: String, in section: [String]) {
        known[section, default: []].insert(name)
        if let last = section.last { declare(last, in: Array(section.dropLast())) }
    }

    /// Exempts a section whose keys are unknown from the check for unknown keys.
    func skip(_ section: [String]) {
        opaque.insert(section)
        if let last = section.last { declare(last, in: Array(section.dropLast())) }
    }

    /// Whether the file or the environment sets this key.
    func isSet(_ path: [String]) -> Bool {
        node(at: path).map { !$0.isNull } ?? false || variableInput(path, isList: false).input != nil
    }

    /// Returns and declares the names in a map whose names the deployer chooses. If there is no such map, records the
    /// problem and returns `nil`.
    func names(in section: [String]) -> [String]? {
        if let last = section.last { declare(last, in: Array(section.dropLast())) }
        let node = node(at: section)
        guard configuration.reader == nil else {
            skip(section)
            note(
                .invalid, section,
                message:
                    "expected a file, because a ConfigReader cannot list a map's names; or register a policy that "
                    + "combines others"
            )
            return nil
        }
        guard case .map(let members)? = node?.content, !members.isEmpty else {
            skip(section)
            let found = node.flatMap { $0.isNull ? nil : $0.content.kind }
            note(
                found == nil ? .missing : .invalid, section,
                message: "expected a map with a name of your choice for each part, found \(found ?? "nothing")"
            )
            return nil
        }
        for member in members {
            let isName =
                member.name.first?.isLetter == true
                && member.name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) }
            if isName {
                declare(member.name, in: section)
            } else {
                skip(section)
                note(
                    .invalid, section + [displayed(member.name)],
                    message: "expected a name of letters and digits, found other text"
                )
            }
        }
        return opaque.contains(section) ? nil : members.map(\.name)
    }

    func warn(_ message: String) { warnings.append(message) }

    /// Records a problem that a part has with the keys of its section, and adds the place of the key.
    func note(_ problem: ConfigurationError.Problem, in section: [String]) {
        let key = problem.key.map { $0.split(separator: ".").map(String.init) } ?? []
        note(problem.code, section + key, message: problem.message)
    }

    /// Records a problem with the value at `path`, wherever the value comes from.
    func note(_ code: ConfigurationError.Code, _ path: [String], message: String) {
        let (variable, input) = variableInput(path, isList: false)
        if input == nil {
            note(code, path, node: node(at: path) ?? nearestNode(above: path), message)
        } else {
            note(code, path, node: nil, variable: variable, message)
        }
    }

    func note(
        _ code: ConfigurationError.Code, _ path: [String], node: ConfigurationNode?, variable: String? = nil,
        _ message: String
    ) {
        let place = variable ?? node.map { "\(configuration.name):\($0.line)" } ?? configuration.name
        var problem = ConfigurationError.Problem(
            code, place: place, key: path.joined(separator: "."), message: message)
        problem.line = node?.line
        problems.append(problem)
    }

    // MARK: The tree

    private func node(at path: some Sequence<String>) -> ConfigurationNode? {
        var node = configuration.root
        for name in path {
            guard let member = node[name] else { return nil }
            node = member.value
        }
        return node
    }

    /// Returns the innermost section above `path` that the file contains.
    private func nearestNode(above path: [String]) -> ConfigurationNode? {
        path.indices.reversed().lazy.filter { $0 > 0 }.compactMap { self.node(at: Array(path[..<$0])) }.first
    }
}
#endif
