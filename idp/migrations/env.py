"""How Alembic reaches the database: through the application that Flask-Migrate runs in."""

from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]

with migrate.db.engine.connect() as connection:
    if connection.dialect.name == "sqlite":
        # Python's sqlite3 begins no transaction before DDL: a migration that fails would stay half done.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(
        connection=connection,
        target_metadata=migrate.db.metadata,
        transactional_ddl=True,
        **migrate.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()  # Alembic leaves a transaction that it did not begin to us
