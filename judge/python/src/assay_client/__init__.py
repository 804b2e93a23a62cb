"""Client of Assay: verdicts and rewards that can be trusted, and no reward where there is none.

``Client`` and ``AsyncClient`` speak the native interface. The modules named after trainers (``verl``,
``openrlhf``, ``trl``, ``slime``, ``areal``, ``verifiers``, ``skyrl``, ``rllm``, ``trinity``) hold functions with
exactly the signatures that those expect, each one call of a client. Nothing beyond the standard
library is needed.
"""

from .aio import AsyncClient
from .client import Client
from .errors import AssayError, NotJudged, RequestRefused, ServiceUnavailable
from .kept import Batch, Session
from .kept_aio import AsyncBatch, AsyncSession
from .problems import response_of, submission
from .result import Execution, Failure, Result
from .retries import Retries

__all__ = [
    "AssayError",
    "AsyncBatch",
    "AsyncClient",
    "AsyncSession",
    "Batch",
    "Client",
    "Execution",
    "Failure",
    "NotJudged",
    "RequestRefused",
    "Result",
    "Retries",
    "ServiceUnavailable",
    "Session",
    "response_of",
    "submission",
]
__version__ = "0.1.0"
