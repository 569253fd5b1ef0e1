"""User code, named on a command line, made into documents and things that can be served.

Only short processes of the user's own import this: the gateway never runs his code. What is wrong in that code is
told as its file, its line and its own words, without a traceback of ours.
"""

from authz.frameworks.load.faults import told
from authz.frameworks.load.files import Written, documents
from authz.frameworks.load.names import load
from authz.frameworks.load.serving import GatewayOnly, application, shown
from authz.frameworks.load.words import is_word

__all__ = ["GatewayOnly", "Written", "application", "documents", "is_word", "load", "shown", "told"]
