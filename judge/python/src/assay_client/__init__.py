"""Client of Assay: verdicts and rewards that can be trusted, and no reward where there is none.

``Client`` and ``AsyncClient`` speak the native interface. The modules named after trainers (``verl``,
``openrlhf``, ``trl``, ``slime``, ``areal``, ``verifiers``, ``skyrl``, ``rllm``, ``trinity``) hold functions with
exactly the signatures that those expect, each one call of a client. Nothing beyond the standard
library is needed.
"""

from .aio import AsyncClient
from .client import Client
from .errors import AssayError, NotJudged, RequestRefused, ServiceUnavailable
from .problems import response_of, submission
from .result import Failure, Result
from .retries import Retries

__all__ = [
    "AssayError",
    "AsyncClient",
    "Client",
    "Failure",
    "NotJudged",
    "RequestRefused",
    "Result",
    "Retries",
    "ServiceUnavailable",
    "response_of",
    "submission",
]
__version__ = "0.1.0"
