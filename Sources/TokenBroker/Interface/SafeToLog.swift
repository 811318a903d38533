/// An error whose description may stand in a log: it has nothing of a request, a secret or what a server said.
///
/// Of any other error only the type is logged. **Write one.** Conform an error of your own whose text you have written yourself.
public protocol SafeToLog: Error, CustomStringConvertible {}

/// The description of an error that is ``SafeToLog``, or else the name of its type.
package func loggable(_ error: any Error) -> String { (error as? any SafeToLog)?.description ?? "\(type(of: error))" }
