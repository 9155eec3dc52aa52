"""The report page: one HTML file that shows what a run did, and needs nothing besides itself."""

from millwright_runner.page.document import NotAReport
from millwright_runner.page.rendering import render

__all__ = ["NotAReport", "render"]
