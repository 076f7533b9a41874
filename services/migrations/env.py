"""Run by Alembic: migrates on the connection that `services.migrations` hands over, in its transaction."""

from alembic import context

import services.tables  # noqa: F401 - fills the metadata
from services.database import metadata

connection = context.config.attributes["connection"]
# SQLite cannot alter most things in place; batch mode copies the table instead.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=False)
context.run_migrations()
